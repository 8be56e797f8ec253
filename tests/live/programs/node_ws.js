// node's ws against an echo of protocol websocket (first argument), or to be closed by a service of
// 1 KiB a message (second). Prints what was done; anything that is not as it should be ends it.
'use strict';
const assert = require('assert');
const WebSocket = require('ws');
const [echo, small] = process.argv.slice(2);

function open(url, protocols, options) {
	return new Promise((resolve, reject) => {
		const socket = new WebSocket(url, protocols, options);
		socket.waiting = [];
		socket.on('message', (data, isBinary) => socket.waiting.shift()({ data, isBinary }));
		socket.once('open', () => resolve(socket));
		socket.once('error', reject);
	});
}

function ask(socket, ...parts) {
	const reply = new Promise((resolve) => socket.waiting.push(resolve));
	parts.forEach((part, at) => socket.send(part, { fin: at === parts.length - 1 }));
	return reply;
}

function closed(socket) {
	return new Promise((resolve) => socket.once('close', (code) => resolve(code)));
}

(async () => {
	const done = [];
	for (const perMessageDeflate of [false, true]) {
		const socket = await open(echo, ['other', 'chat'], { perMessageDeflate });
		assert.strictEqual(socket.protocol, 'chat');
		done.push(socket.extensions || 'plain');
		for (const text of ['', 'h\u00e9 \u{1f40e}', 'x'.repeat(100000)]) {
			const { data, isBinary } = await ask(socket, text);
			assert(!isBinary && data.toString() === text);
		}
		const bytes = Buffer.from([...Array(70000).keys()].map((n) => n * 7919 >> 3 & 255));
		const { data, isBinary } = await ask(socket, bytes);
		assert(isBinary && data.equals(bytes));
		assert.strictEqual((await ask(socket, 'a', 'bc', '', 'd')).data.toString(), 'abcd');
		const texts = await Promise.all([...Array(200).keys()].map((n) => ask(socket, 'n' + n)));
		texts.forEach((reply, n) => assert.strictEqual(reply.data.toString(), 'n' + n));
		const pong = new Promise((resolve) => socket.once('pong', resolve));
		socket.ping('are you there');
		assert.strictEqual((await pong).toString(), 'are you there');
		const end = closed(socket);
		socket.close(4001, 'enough');
		assert.strictEqual(await end, 4001);
	}
	const socket = await open(small);
	const end = closed(socket);
	socket.send('x'.repeat(1025));
	done.push(await end);
	await assert.rejects(open(echo, [], { origin: 'http://elsewhere.example' }), /403/);
	done.push('origin');
	console.log(JSON.stringify(done));
})().catch((error) => {
	console.error(error);
	process.exit(1);
});
