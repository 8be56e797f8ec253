/* The rest of llhttp: one unit with the state machine would declare the same twice. */
#include <api.c>
#include <http.c>
