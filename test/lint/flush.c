/*
 * SPDX-License-Identifier: MIT
 *
 * Write the counts of coverage before a process ends in a way that would lose
 * them.  Linked into the suites of `make coverage` only, where the linker
 * calls these in place of abort() and _exit() (--wrap).  A test of misuse ends
 * in abort(), and the lines that led there did run.
 */
#include <gcov.h>

void __real_abort(void) __attribute__((noreturn));
void __real__exit(int status) __attribute__((noreturn));
void __wrap_abort(void) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

void __wrap_abort(void)
{
	__gcov_dump();
	__real_abort();
}

void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
