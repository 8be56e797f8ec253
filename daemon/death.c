/* Words for what waitid(2) says of the dead. */
#include "daemon/death.h"

#include <stdio.h>
#include <string.h>

void
death_describe(const siginfo_t *info, char *text, size_t size)
{
	if (info->si_code == CLD_EXITED)
		snprintf(text, size, "exit status %d", info->si_status);
	else
		snprintf(text, size, "killed by signal %d (%s)%s", info->si_status,
		    strsignal(info->si_status), info->si_code == CLD_DUMPED ? ", core dumped" : "");
}
