/*
 * SPDX-License-Identifier: MIT
 *
 * loop.h - the state of a loop, which every layer has its part of, and the
 * driver: what the core asks of whatever event loop carries it.
 *
 * Nothing here knows libev; libev.c embeds this struct in its own.
 */
#ifndef AVOW_SRC_LOOP_H
#define AVOW_SRC_LOOP_H

#include "node.h"

struct avow__slab;
struct avow__table;

/*
 * What the core asks of its event loop.  `wake` is the hook of the scheduler:
 * call avow__drain() as soon as the callback on the stack has returned.  It is
 * called once until that drain begins.
 */
struct avow__driver {
	void (*wake)(avow_loop *loop);
	/* Call avow__turn() in the next iteration, however busy this one is. */
	void (*turn)(avow_loop *loop);
	/* Drain once more when the event loop that is nested now has returned:
	 * it leaves promises that only a frame further out may reap. */
	void (*look_again)(avow_loop *loop);
	/*
	 * The depth of a handle that is got right now, from DEPTH_BASE up: one
	 * more for each event loop nested in another.
	 */
	unsigned (*depth)(const avow_loop *loop);
	/* From any thread: call avow__mail() in the loop's thread. */
	void (*ring)(avow_loop *loop);
	/* Get ready for `ring`; said once, before the first call. */
	void (*listen)(avow_loop *loop);
	/* Whether calls from other threads must keep the event loop alive. */
	void (*keep_alive)(avow_loop *loop, bool on);
	/* Stop all watchers: the loop ends. */
	void (*close)(avow_loop *loop);
	/* Free the memory of the loop itself. */
	void (*free)(avow_loop *loop);
};

/* What must be looked at between two jobs; one byte, so that it is one test. */
enum {
	ATTEND_PARKED = 1,	/* some parked list is in use */
	ATTEND_NESTED = 2,	/* depth must be asked for: bits are hidden */
	ATTEND_CLOSING = 4	/* avow_loop_free() was called */
};

struct avow_loop {
	/* What a `then` touches comes first. */
	uint64_t bits;		/* free nodes of the word in hand */
	char *bits_base;	/* the node of bit 0 */
	const void *thread;	/* &avow__thread of the owner */
	unsigned seat;		/* its number */
	avow_promise *jobs;	/* tail of the ring of queued jobs */
	avow_promise *running;	/* whose handler is on top of the stack */
	uint32_t birth;		/* word of a new node: its depth */
	uint32_t depth;		/* of the drain on top; handles at or below it
				   are used by nobody between two jobs */
	uint32_t depth_word;	/* the same where a word has its depth */
	uint64_t tick;		/* counts drains and jobs, and so numbers the
				   callback on the stack; after a nested loop
				   it is the old number again */
	unsigned char attention; /* ATTEND_...: why a drain must look up */
	bool is_fed;		/* the driver will drain */
	bool is_draining;	/* no call of the program's is on the stack
				   above the drain: see avow__call_begin() */
	bool is_ecmascript;	/* followers take the jobs they take there */
	bool is_handed_over;	/* the rest of the jobs wait for their turn */
	bool is_finishing;	/* avow_loop_free() is at work */
	bool must_tell_memory;	/* AVOW_REPORT_MEMORY is due */
	unsigned parked_top;	/* no parked list beyond this one is in use */
	avow_promise *parked[DEPTH_MAX + 1]; /* tails, by depth */

	/* Slabs. */
	uint64_t bits_hidden;	/* what `bits` would be, were it not nested */
	struct avow__slab *slab;	/* in hand */
	struct avow__slab *partial;	/* ring of others with free nodes */
	struct avow__slab *spare;	/* list of empty ones */
	struct avow__slab *reserve;	/* used after an allocation failed */
	struct avow__slab *all;		/* ring of every slab */
	size_t slab_count, spare_count, spare_max;
	bool is_on_reserve;
	void *blocks;		/* list of cached small blocks */
	unsigned block_count;
	avow_promise **quarantine; /* AVOW_DEBUG */
	size_t quarantine_at;

	/* Scheduler. */
	const struct avow__driver *driver;
	unsigned busy;		/* frames of ours on the stack that come back */
	size_t budget_jobs;
	uint64_t budget_ns;
	uint64_t drains;	/* ticks that were no jobs */
	uint64_t nested_ticks;	/* those that were taken back */
	avow_promise *immediates; /* tail of the ring of avow_immediate() */
	struct avow__doomed *doomed; /* of the cancellation on the stack */
	struct avow__cleanup *cleanups; /* list of those that go on */

	/* Promises and calls. */
	avow_promise *immortal;
	uint64_t ignored, late;
	struct avow__table *table;
	unsigned nesting_max, nesting;
	avow_report_fn *report;
	void *report_arg;

	/* AVOW_DEBUG: values lent in the running handler; see debug.c. */
	avow_value lent[16];
	unsigned lent_count;
};

/* Inputs whose sources are to be given up; a list through `next`. */
struct avow__doomed {
	avow_promise *head, *tail;
	avow_promise *told, *told_tail; /* roots whose hooks are to run */
	unsigned busy;		/* the loop's, where they are given up */
	struct avow__cleanup *cleanup; /* that this leaves behind, or NULL */
	bool is_behind;		/* what is dropped now waits for that */
};

/*
 * A seat is a loop's number, which contexts carry (settler.c).  Seats are
 * never freed, so that a context can always be asked after: only the owner's
 * thread changes `loop`, under the seat's lock, and frees it.
 */
#if UINTPTR_MAX > 0xffffffff
#define SEAT_BITS 12
#else
#define SEAT_BITS 4
#endif
#define SEAT_COUNT (1u << SEAT_BITS)
struct avow__seat {
	const void *owner;	/* thread, or NULL: atomic */
	avow_loop *loop;
	uint32_t generation;	/* contexts of earlier loops are below it */
	bool is_worn_out;	/* no generations left */
};
extern struct avow__seat avow__seats[SEAT_COUNT];

/* One of these in each thread; its address is the thread's identity. */
struct avow__thread {
	avow_loop *current;	/* whose handler is running */
	unsigned home;		/* seat of the loop last made or drained here;
				   it caches small blocks.  0 is nobody's */
	void *dropping;		/* containers whose drop waits; see value.c */
	bool is_dropping;
	const void *listed;	/* the list avow_list_at() last read ... */
	size_t listed_index;	/* ... and where */
	const void *work;	/* threads of the pool: what they run; work.c */
};
/* The model of access is left to the compiler: "initial-exec" would keep a
 * plugin that has the library inside from being loaded at run time, where the
 * room for such memory is a few hundred bytes and all of ours counts. */
extern __thread struct avow__thread avow__thread;

static inline const void *avow__self(void)
{
	return &avow__thread;
}

static inline bool avow__is_nested(const avow_loop *loop)
{
	return loop->attention & ATTEND_NESTED;
}

static inline bool avow__is_closing(const avow_loop *loop)
{
	return loop->attention & ATTEND_CLOSING;
}

/* There is work: say so to the driver, once. */
static inline void avow__wake(avow_loop *loop)
{
	if (!loop->is_fed) {
		loop->is_fed = true;
		loop->driver->wake(loop);
	}
}

/* Handles got at this depth are good until its callback returns. */
static inline unsigned avow__depth_now(const avow_loop *loop)
{
	if (LIKELY(!avow__is_nested(loop)))
		return DEPTH_BASE;
	const unsigned depth = loop->driver->depth(loop);
	return depth < DEPTH_MAX ? depth : DEPTH_MAX;
}

static inline bool avow__is_owner(const struct avow__seat *seat)
{
	return __atomic_load_n(&seat->owner, __ATOMIC_ACQUIRE) == avow__self();
}

/* The loop of this thread that caches blocks, or NULL. */
static inline avow_loop *avow__home(void)
{
	const struct avow__seat *seat = &avow__seats[avow__thread.home];
	return avow__is_owner(seat) ? seat->loop : NULL;
}

#endif
