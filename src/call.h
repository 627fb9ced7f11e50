/*
 * SPDX-License-Identifier: MIT
 *
 * call.h - the insides of calls, for the three files that share them:
 * settler.c settles calls, begin.c begins them for the program, and seat.c
 * gives each loop its number and its table.  The locks, which forks mind, are
 * those of watch_kind.c as well.
 */
#ifndef AVOW_SRC_CALL_H
#define AVOW_SRC_CALL_H

#include "settler.h"

#include <pthread.h>

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define SETTLER_IS_ALONE __libc_single_threaded
#endif
#endif
#ifndef SETTLER_IS_ALONE
#define SETTLER_IS_ALONE 0
#endif

#if UINTPTR_MAX > 0xffffffff
#define INDEX_BITS 28
#define GENERATION_BITS 24
#else
#define INDEX_BITS 14
#define GENERATION_BITS 14
#endif
#define GENERATION_MAX ((1u << GENERATION_BITS) - 1)
/* No call has generation 0: a context that is always too late. */
#define CONTEXT_SPENT ((void *)(uintptr_t)1)

/* Chunk k has CHUNK_FIRST << k calls, and none ever moves. */
#define CHUNK_FIRST 64u
#define CHUNK_COUNT (INDEX_BITS - 6)

enum { CALL_FREE = 0, CALL_OPEN = 1, CALL_CLAIMED = 2, CALL_SHIFT = 2 };

struct avow__call {
	uint32_t state;		/* atomic: generation << CALL_SHIFT, CALL_... */
	uint32_t index;
	struct avow__call *next; /* free, or in the mail */
	avow_promise *promise;	/* NULL once it was settled otherwise */
	avow_value value;	/* in the mail */
	struct avow__memory *memory;
	const char *name;
	bool is_threaded;
	bool is_in_hook;	/* its cancel hook is on the stack */
};

/* The calls of one loop.  `mail` and `late_afar` belong to the lock. */
struct avow__table {
	struct avow__call *chunk[CHUNK_COUNT];
	uint32_t made;		/* calls that exist, in use or free */
	struct avow__call *free_head, *free_tail; /* first in, first out */
	struct avow__call *mail; /* tail of a ring */
	uint64_t late_afar;
	size_t open_count, threaded_count;
	bool is_listening;
};

/* Seats share locks; only threads that settle from afar meet here, and those
 * that use wakers.  Seat 0, which is no loop's, lends its to the process. */
pthread_mutex_t *avow__seat_mutex(unsigned seat);

/* Give `p`, a pending root, a call; NULL when out of memory. */
struct avow__call *avow__call_open(avow_loop *loop, avow_promise *p,
				   const char *name);
/* A claimed call gets its value, in the loop's thread. */
void avow__call_settle(avow_loop *loop, struct avow__call *call,
		       avow_value value);
/* An old number never fits a new call. */
void *avow__context_pack(const avow_loop *loop, const struct avow__call *call);

static inline uint32_t avow__call_generation(const struct avow__call *call)
{
	return __atomic_load_n(&call->state, __ATOMIC_RELAXED) >> CALL_SHIFT;
}

static inline unsigned avow__context_seat(const void *context)
{
	return (uintptr_t)context & (SEAT_COUNT - 1);
}

static inline uint32_t avow__context_index(const void *context)
{
	return (uint32_t)((uintptr_t)context >> SEAT_BITS) &
	       ((1u << INDEX_BITS) - 1);
}

static inline uint32_t avow__context_generation(const void *context)
{
	return (uint32_t)((uintptr_t)context >> (INDEX_BITS + SEAT_BITS)) &
	       GENERATION_MAX;
}

/* Call number `index`: CHUNK_FIRST + index has its chunk in its top bit. */
static inline struct avow__call *avow__table_at(const struct avow__table *table,
				   uint32_t index)
{
	const uint32_t n = index + CHUNK_FIRST;
	const unsigned top = 31 - (unsigned)__builtin_clz(n);
	struct avow__call *chunk = table->chunk[top - 6];
	return &chunk[n - (1u << top)];
}

/* The call of a context in a table that exists, or NULL. */
static inline struct avow__call *
avow__table_find(const struct avow__table *table, const void *context)
{
	const uint32_t index = avow__context_index(context);
	return index < __atomic_load_n(&table->made, __ATOMIC_ACQUIRE) ?
		       avow__table_at(table, index) :
		       NULL;
}

/* Turn an open call of this generation into a claimed one. */
static inline bool avow__call_claim(struct avow__call *call,
				    uint32_t generation)
{
	uint32_t open = generation << CALL_SHIFT | CALL_OPEN;
	const uint32_t claimed = generation << CALL_SHIFT | CALL_CLAIMED;
	if (SETTLER_IS_ALONE) {
		if (call->state != open)
			return false;
		call->state = claimed;
		return true;
	}
	return __atomic_compare_exchange_n(&call->state, &open, claimed, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline bool avow__call_is_open(const struct avow__call *call,
				      uint32_t generation)
{
	return __atomic_load_n(&call->state, __ATOMIC_RELAXED) ==
	       (generation << CALL_SHIFT | CALL_OPEN);
}

#endif
