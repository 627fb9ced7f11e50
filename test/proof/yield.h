/*
 * SPDX-License-Identifier: MIT
 *
 * yield.h - stands in front of settler.c, seat.c and begin.c when threads.c
 * explores them: every lock and every atomic access first lets another thread
 * go on, whichever is chosen, and what is locked or read is the explorer's.
 * The text of the three files is what it is.
 */
#ifndef AVOW_PROOF_YIELD_H
#define AVOW_PROOF_YIELD_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/single_threaded.h>

/* Another thread may go on here, before `where` is read or written. */
void yield(const volatile void *where);
void yield_lock(void *mutex);
void yield_unlock(void *mutex);
/* In a thread that is not the loop's nobody is the owner of a seat: threads are
 * coroutines here, which share what the library knows a thread by. */
bool yield_is_hidden(const volatile void *where);

#undef __libc_single_threaded
#define __libc_single_threaded 0
#define pthread_mutex_lock(mutex) yield_lock(mutex)
#define pthread_mutex_unlock(mutex) yield_unlock(mutex)
#define __atomic_load_n(where, order)                  \
	__extension__({                                \
		yield(where);                          \
		yield_is_hidden(where) ? 0 : *(where); \
	})
#define __atomic_store_n(where, what, order) \
	__extension__({                      \
		yield(where);                \
		*(where) = (what);           \
	})
#define __atomic_compare_exchange_n(where, was, what, weak, order, other) \
	__extension__({                                                   \
		yield(where);                                             \
		*(where) == *(was) ? (*(where) = (what), true)            \
				   : (*(was) = *(where), false);          \
	})

#endif
