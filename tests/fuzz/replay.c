/*
 * Runs a fuzz target over files instead of under a fuzzer, so that what a fuzzer once found is
 * tried in every `make check`, with any compiler.
 *
 * replay_NAME FILE...   tries these files
 * replay_NAME           tries every file of $srcdir/tests/fuzz/corpus/NAME; none is a failure
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay_file(const char *path)
{
	struct stat status;
	uint8_t *data;
	FILE *file;

	file = fopen(path, "re");
	if (file == NULL || fstat(fileno(file), &status) == -1)
		err(1, "%s", path);
	/* Exactly as large as the file: a sanitizer then sees a read of one byte too many. */
	data = malloc(status.st_size > 0 ? (size_t)status.st_size : 1);
	if (data == NULL)
		err(1, "%s", path);
	if (fread(data, 1, (size_t)status.st_size, file) != (size_t)status.st_size)
		errx(1, "%s: cannot be read whole", path);
	fclose(file);
	LLVMFuzzerTestOneInput(data, (size_t)status.st_size);
	free(data);
}

static int
replay_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static unsigned
replay_folder(const char *folder)
{
	struct dirent **entries;
	char path[4096];
	int count, i;

	count = scandir(folder, &entries, replay_visible, alphasort);
	if (count == -1)
		err(1, "%s", folder);
	for (i = 0; i < count; i++) {
		if (snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) >=
		    (int)sizeof path)
			errx(1, "%s: the path is too long", entries[i]->d_name);
		replay_file(path);
		free(entries[i]);
	}
	free(entries);
	return (unsigned)count;
}

int
main(int argc, char **argv)
{
	const char *top = getenv("srcdir"), *name;
	char folder[2048];
	unsigned count;
	int i;

	for (i = 1; i < argc; i++)
		replay_file(argv[i]);
	if (argc > 1)
		return 0;

	name = strstr(program_invocation_short_name, "replay_");
	if (name == NULL)
		errx(2, "is called replay_NAME, or takes files");
	snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/%s", top != NULL ? top : ".",
	    name + strlen("replay_"));
	count = replay_folder(folder);
	if (count == 0)
		errx(1, "%s: is empty", folder);
	printf("%s: %u files\n", folder, count);
	return 0;
}
