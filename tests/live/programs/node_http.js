// node's own clients against an echo of protocol http (first argument) and web.py with message =
// json (second). Prints what was done; anything that is not as it should be ends it.
'use strict';
const assert = require('assert');
const http = require('http');
const [echo, page] = process.argv.slice(2);
const done = [];

function ask(options, body) {
	return new Promise((resolve, reject) => {
		const request = http.request(echo, options, (reply) => {
			const parts = [];
			const port = reply.socket.localPort;
			reply.on('data', (part) => parts.push(part));
			reply.on('end', () => resolve({ status: reply.statusCode, headers: reply.headers,
				body: Buffer.concat(parts), port }));
		});
		request.on('error', reject);
		if (options.headers && options.headers.Expect)
			request.on('continue', () => request.end(body));
		else
			request.end(body);
	});
}

async function withFetch() {
	const texts = await Promise.all([...Array(30).keys()].map(async (n) =>
		(await fetch(echo, { method: 'POST', body: 'text ' + n })).text()));
	texts.forEach((text, n) => assert.strictEqual(text, 'text ' + n));
	const head = await fetch(echo + '/?abc', { method: 'HEAD' });
	assert.strictEqual(head.headers.get('content-length'), '3');
	assert.strictEqual((await fetch(echo, { method: 'DELETE' })).status, 405);
	assert.strictEqual((await fetch(echo, { method: 'POST', body: new Uint8Array(3 << 20) })).status, 413);
	done.push('fetch');

	const reply = await (await fetch(page + '/?q=%F0%9F%90%8E', { method: 'PUT', body: '\u00e9',
		headers: { 'X-Request-Id': 'mine' } })).json();
	assert.strictEqual(reply.query.q[0], '\u{1f40e}');
	assert.strictEqual(reply.body, '\u00e9');
	assert.strictEqual(reply.headers['x-request-id'], 'mine');
	done.push('json');

	const body = new ReadableStream({
		start(controller) {
			for (let n = 0; n < 100; n++)
				controller.enqueue(new Uint8Array(10000).fill(n));
			controller.close();
		},
	});
	const back = new Uint8Array(await (await fetch(echo,
		{ method: 'POST', body, duplex: 'half' })).arrayBuffer());
	assert.strictEqual(back.length, 1000000);
	assert(back.every((byte, at) => byte === Math.floor(at / 10000)));
	done.push('stream');
}

async function withAgent() {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	const replies = await Promise.all([...Array(50).keys()].map((n) =>
		ask({ agent, method: 'POST', headers: n % 2 ? { 'Transfer-Encoding': 'chunked' } : {} },
			'x'.repeat(n))));
	replies.forEach((reply, n) => assert.strictEqual(reply.body.toString(), 'x'.repeat(n)));
	done.push('agent');
	const reply = await ask({ agent, method: 'POST',
		headers: { Expect: '100-continue', 'Content-Length': 5 } }, 'later');
	assert.strictEqual(reply.body.toString(), 'later');
	replies.push(reply);
	done.push('continue');
	agent.destroy();
	return { asked: replies.length, sockets: new Set(replies.map((one) => one.port)).size };
}

// Who goes away in the middle leaves nothing behind for the next.
async function aborted() {
	for (let n = 0; n < 5; n++) {
		const control = new AbortController();
		const gone = fetch(page + '/nap?s=0.05', { signal: control.signal });
		setTimeout(() => control.abort(), n);
		await assert.rejects(gone, { name: 'AbortError' });
	}
	assert.strictEqual((await (await fetch(page + '/?last')).json()).query_string, 'last');
	done.push('abort');
}

(async () => {
	await withFetch();
	const agent = await withAgent();
	await aborted();
	console.log(JSON.stringify({ agent, done }));
})().catch((error) => {
	console.error(error);
	process.exit(1);
});
