/*
 * SPDX-License-Identifier: MIT
 *
 * naive.h - promises as the rules of docs/design.md say them, and nothing else:
 * arrays and numbers, no counts of uses, no freeing, no collapsing, no aliases.
 *
 * The proof runs every program through this and through the library side by
 * side.  Where the two differ the library is wrong, or this is; it is short so
 * that it can be read against rules 1, 2, 5, 7, 9, 19 and 24.
 */
#ifndef AVOW_PROOF_NAIVE_H
#define AVOW_PROOF_NAIVE_H

#include <stdbool.h>
#include <stdint.h>

enum { NAIVE_MAX = 40, NAIVE_LIST = 16, NOBODY = 0xff };

enum naive_kind {
	ROOT_KIND, /* settled by a call */
	THEN_KIND,
	CATCH_KIND,
	FINALLY_KIND,
	TAP_KIND,
	PASS_KIND, /* no handler: attach */
	SHIELD_KIND,
	STAND_IN_KIND /* the cleanup of a finally that was cancelled */
};

enum naive_state { IS_PENDING, IS_FULFILLED, IS_REJECTED };

/* What a promise settles with: nothing, a token by its number, or one of: */
enum {
	NO_VALUE = 0,
	MOVED_AWAY = 200, /* avow_take() moved it: nobody may look */
	CYCLE_ERROR,
	CANCELLED_ERROR,
	ABANDONED_ERROR,
	OTHER_VALUE
};

struct naive {
	uint8_t kind, state, outcome;
	uint8_t source;	  /* reactions and followers */
	uint8_t record;	  /* whose handler it is: its own, but for
				   stand-ins */
	uint8_t original; /* whose outcome a finally or tap passes on */
	bool is_locked;	  /* a root that was resolved */
	bool is_following, is_linking, is_running, is_awaited, is_cancelled;
	uint8_t holds;
	uint8_t count, list[NAIVE_LIST]; /* who waits for it, in order */
};

struct naive_world {
	uint8_t count;
	uint8_t queued, queue[NAIVE_MAX];
	uint8_t ignored;
	bool is_ecmascript;
	struct naive p[NAIVE_MAX];
};

typedef struct naive_world naive_world;

/* All give the number of the new promise. */
uint8_t naive_root(naive_world *w);
uint8_t naive_attach(naive_world *w, uint8_t source, enum naive_kind kind);

/* False, and counted, when it was settled or follows already. */
bool naive_resolve(naive_world *w, uint8_t p, enum naive_state state,
		   uint8_t outcome);
bool naive_resolve_with(naive_world *w, uint8_t p, uint8_t q);
void naive_cancel(naive_world *w, uint8_t p);

/* Run jobs up to the next handler: the number of the promise whose handler is
 * to run, or NOBODY when there are no more jobs. */
uint8_t naive_run(naive_world *w);
/* The handler of `p` has returned: nothing or a value (`is_given` if it is the
 * very one it got), an error, or a promise. */
void naive_returned(naive_world *w, uint8_t p, bool is_given, bool is_error,
		    uint8_t outcome);
void naive_returned_promise(naive_world *w, uint8_t p, uint8_t q);

#endif
