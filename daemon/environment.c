/*
 * Builds the environment of one instance. Nothing of the caller's gets through but language and
 * time zone, so that a program behaves the same however the daemon was started.
 */
#include "daemon/environment.h"

#include "common/mem.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENVIRONMENT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct environment_list {
	char **words; /* owns */
	unsigned count;
};

/* Takes the word over; a former one of the same name is replaced. */
static void
environment_put(struct environment_list *list, char *word)
{
	size_t name = strcspn(word, "=") + 1;

	for (unsigned i = 0; i < list->count; i++) {
		if (strncmp(list->words[i], word, name) == 0) {
			free(list->words[i]);
			list->words[i] = word;
			return;
		}
	}
	list->words = mem_resize(list->words, list->count + 2, sizeof(char *));
	list->words[list->count++] = word;
	list->words[list->count] = NULL;
}

static void
environment_put_inherited(struct environment_list *list)
{
	for (char **word = environ; word != NULL && *word != NULL; word++)
		if (strncmp(*word, "LANG=", 5) == 0 || strncmp(*word, "LC_", 3) == 0 ||
		    strncmp(*word, "TZ=", 3) == 0)
			environment_put(list, mem_strdup(*word));
}

static void
environment_put_user(struct environment_list *list, uid_t uid)
{
	const struct passwd *user = getpwuid(uid);

	if (user == NULL) {
		environment_put(list, mem_strdup("HOME=/"));
		return;
	}
	environment_put(list, mem_printf("HOME=%s", user->pw_dir));
	environment_put(list, mem_printf("USER=%s", user->pw_name));
	environment_put(list, mem_printf("LOGNAME=%s", user->pw_name));
}

char **
environment_new(const char *service, unsigned slot, uid_t uid, char *const *extra)
{
	struct environment_list list = {0};

	environment_put(&list, mem_strdup("PATH=" ENVIRONMENT_PATH));
	environment_put_inherited(&list);
	environment_put_user(&list, uid);
	environment_put(&list, mem_strdup("PYTHONUNBUFFERED=1"));
	environment_put(&list, mem_printf("HOSTLER_SERVICE=%s", service));
	environment_put(&list, mem_printf("HOSTLER_SLOT=%u", slot));
	for (; extra != NULL && *extra != NULL; extra++)
		environment_put(&list, mem_strdup(*extra));
	return list.words;
}

void
environment_free(char **environment)
{
	for (char **word = environment; word != NULL && *word != NULL; word++)
		free(*word);
	free(environment);
}
