/* llhttp's state machine, from the system's package; see configure.ac. */
#include <llhttp.c>
