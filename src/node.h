/*
 * SPDX-License-Identifier: MIT
 *
 * node.h - the 64 bytes of a promise, the bits of its word, and the blocks of
 * the same size that hang off one.
 *
 * The lowest header: everybody includes it, it relies on avow.h alone.  The
 * node is shared by the slabs (who hand it out), the scheduler (who queues it)
 * and the promise layer (who gives it meaning); what each bit means stands
 * here once.
 */
#ifndef AVOW_SRC_NODE_H
#define AVOW_SRC_NODE_H

#include "avow.h"

#include <errno.h>
#include <limits.h>

#define NODE_SIZE 64

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
/* For the path of every `then`, which must be one function. */
#define INLINE static inline __attribute__((always_inline))

/*
 * The word: two bits of state, flags, and the loop depth at which a handle was
 * given out in the top six.  One packed word, because bit-fields and separate
 * bytes were measured to cost more.
 */
enum {
	STATE_MASK = 3,		/* an avow_state */
	ON_FULFILLED = 1 << 2,	/* the handler runs for this state: the bit */
	ON_REJECTED = 2 << 2,	/* is the state's, shifted by ON_SHIFT */
	ON_SHIFT = 2,
	KEEP = 1 << 4,		/* passes its source's outcome on: finally */
	FINALLY = ON_FULFILLED | ON_REJECTED | KEEP,
	SHIELD = 1 << 5,	/* cancelling does not climb to the source */
	EXTRA = 1 << 6,		/* `extra` stands in place of fn or hook */
	HANDLED = 1 << 7,	/* somebody attached, followed or waited */
	ALIAS = 1 << 8,		/* settled with what `owner` holds */
	PARKED = 1 << 9,	/* on a list of the loop, to be reaped */
	RUNNING = 1 << 10,	/* its handler, or its cancellation, is on the
				   stack: nobody else may reap it */
	AWAITED = 1 << 11,	/* handed over by avow_await() */
	FOLLOWED = 1 << 12,	/* some promise followed it */
	FOLLOWING = 1 << 13,	/* linked in the ring of `source`, whose outcome
				   it takes */
	ROOT = 1 << 14,		/* settled by a call; has no source */
	CALL = 1 << 15,		/* a root with a context given out: `call` */
	SEALED = 1 << 16,	/* a root that only the library may settle */
	INPUT = 1 << 16,	/* no root: what a task waits for; see task.h */
	POST = 1 << 17,		/* a job of avow_post(), no promise */
	THENABLE = 1 << 18,	/* a root whose thenable is to be started */
	IMMORTAL = 1 << 19,	/* the loop's promise for out of memory */
	RAW = 1 << 20,		/* no promise: extra, slot, watcher */
	DEAD = 1 << 21,		/* freed */
	LOCKED = 1 << 22,	/* a root that was resolved and follows */
	STAND_IN = 1 << 22,	/* no root: does what a finally had yet to do
				   when it was cancelled */
	QUEUED = 1 << 23,	/* a root in a queue: avow_immediate(); a
				   follower in the job queue although what it
				   follows may be pending: promise_adopt() */
	TOOK = 1 << 24,		/* its handler took a copy that looks like what
				   it was given (counted types) */
	ON_WAY = 1 << 25,	/* on the way of a cancellation, pending */
	DEPTH_SHIFT = 26
};

/* Handles made deeper than this share a list that is reaped from above. */
#define DEPTH_MAX 62
/* The depth of handles got outside of nested loops. */
#define DEPTH_BASE 1

struct avow__extra;
struct avow__call;

/*
 * What always holds, by number (debug.c checks each):
 *
 *  1. A settled promise has no waiting reactions: its ring went to the job
 *     queue when it settled.
 *  2. A pending promise that is no root and not running is linked in exactly
 *     one ring: its source's while that is pending, the job queue after, and
 *     before that as well if it is QUEUED.
 *  3. `uses` counts reactions and followers that have not finished, aliases,
 *     and holds; while pending these are its consumers.
 *  4. An alias' owner is settled and no alias itself.
 *  5. A promise is freed only when it is settled, unused, not running and off
 *     the parked lists; a collapsed follower is the one exception.
 *  6. The source of a live reaction or follower is alive.
 *  7. A parked promise is settled.
 *  8. Only a root has no source; only a root has a call.
 */
struct avow_promise {
	uint32_t word;
	uint32_t uses;
	avow_promise *next;	/* in a ring, or on a parked list */
	union {
		avow_promise *source;	  /* reactions and followers */
		struct avow__call *call;  /* roots with CALL */
		const char *place_before; /* settled and rejected */
	};
	union {
		avow_handler_fn *fn;	/* reactions */
		avow_job_fn *job;	/* posts; roots: the cancel hook */
		struct avow__extra *extra; /* with EXTRA, also once settled */
		const char *place_oldest; /* settled and rejected, no EXTRA */
	};
	union {
		void *arg;		/* of fn or job; followers: see below */
		uintptr_t since;	/* followers: the callback in which
					   they began to, or were awaited */
		avow_promise *original; /* followers with KEEP: whose outcome
					   is passed on */
		avow_promise *stand_in;	/* on the way of a cancellation */
		const char *place_older; /* settled and rejected */
	};
	const char *place;
	union {
		avow_value value;	/* settled */
		avow_promise *owner;	/* settled, ALIAS */
		struct {
			avow_promise *tail; /* pending: last of its ring */
			avow_promise *back; /* pending: before it in a ring */
		};
	};
};

/* A slot: a pointer to be set to NULL when its promise is freed. */
struct avow__slot {
	uint32_t word;		/* RAW */
	struct avow__slot *next;
	avow_promise **where;
};

/* Memory of avow_alloc(), a list of blocks. */
struct avow__memory {
	struct avow__memory *next;
	/* Of the first block: the call, the promise, a box (value.h), which may
	 * end in any thread. */
	unsigned uses;
};

/* What does not fit in a node.  Its own size is a node's. */
struct avow__extra {
	uint32_t word;		/* RAW; ALIAS where `shared` is in use, SEALED
				   where `drop` is the library's own */
	int code;		/* with `domain` */
	union {
		avow_handler_fn *fn;
		avow_job_fn *job;	/* roots: the cancel hook */
	};
	union {
		avow_handler_fn *rejected; /* NULL: fn serves both */
		struct avow__shared *shared; /* settled: see value.h */
	};
	union {
		struct {
			void *arg;	/* of the handler or the hook */
			avow_drop_fn *drop;
		};
		avow_value thenable;	/* roots with a thenable */
	};
	union {
		const avow_domain *domain; /* reactions: run for this code */
		struct avow__memory *memory; /* roots */
	};
	struct avow__slot *slots;
	size_t copy_size;	/* arg is a block of ours of this size */
};

typedef char avow__value_fits[sizeof(avow_value) <= 16 ? 1 : -1];
typedef char avow__node_fits[sizeof(avow_promise) <= NODE_SIZE ? 1 : -1];
typedef char avow__extra_fits[sizeof(struct avow__extra) <= NODE_SIZE ? 1 : -1];

static inline unsigned avow__depth_of(const avow_promise *p)
{
	return p->word >> DEPTH_SHIFT;
}

static inline bool avow__is_settled(const avow_promise *p)
{
	return p->word & STATE_MASK;
}

/* The box that drops the value of a settled promise with EXTRA, or NULL. */
static inline struct avow__shared *
avow__shared_of(const struct avow__extra *extra)
{
	return extra->word & ALIAS ? extra->shared : NULL;
}

/* Who holds the value of a settled promise. */
static inline avow_promise *avow__owner(const avow_promise *p)
{
	return UNLIKELY(p->word & ALIAS) ? p->owner :
					   (avow_promise *)(uintptr_t)p;
}

#endif
