/*
 * SPDX-License-Identifier: MIT
 *
 * naive.c - see naive.h.  Everything is a walk over short arrays.
 */
#include "naive.h"

#include <stdlib.h>
#include <string.h>

static uint8_t naive_new(naive_world *w, enum naive_kind kind)
{
	if (w->count == NAIVE_MAX)
		abort();
	struct naive *p = &w->p[w->count];
	memset(p, 0, sizeof(*p));
	p->kind = (uint8_t)kind;
	p->source = p->original = NOBODY;
	p->record = w->count;
	return w->count++;
}

uint8_t naive_root(naive_world *w)
{
	return naive_new(w, ROOT_KIND);
}

static void naive_insert(uint8_t *list, uint8_t *count, uint8_t size,
			 uint8_t at, uint8_t p)
{
	if (*count == size)
		abort();
	memmove(list + at + 1, list + at, (size_t)(*count - at));
	list[at] = p;
	++*count;
}

static bool naive_remove(uint8_t *list, uint8_t *count, uint8_t p)
{
	for (uint8_t i = 0; i < *count; i++) {
		if (list[i] == p) {
			--*count;
			memmove(list + i, list + i + 1, (size_t)(*count - i));
			return true;
		}
	}
	return false;
}

static void naive_queue(naive_world *w, uint8_t at, uint8_t p)
{
	naive_insert(w->queue, &w->queued, NAIVE_MAX, at, p);
}

/* Wait behind all others for `source`, or in the queue if that is settled. */
static void naive_wait(naive_world *w, uint8_t p, uint8_t source)
{
	struct naive *s = &w->p[source];
	w->p[p].source = source;
	if (s->state)
		naive_queue(w, w->queued, p);
	else
		naive_insert(s->list, &s->count, NAIVE_LIST, s->count, p);
}

static void naive_leave(naive_world *w, uint8_t p)
{
	struct naive *s = &w->p[w->p[p].source];
	if (!naive_remove(s->list, &s->count, p) &&
	    !naive_remove(w->queue, &w->queued, p))
		abort();
}

uint8_t naive_attach(naive_world *w, uint8_t source, enum naive_kind kind)
{
	const uint8_t p = naive_new(w, kind);
	naive_wait(w, p, source);
	return p;
}

/* Those who wait go to the queue, in their order. */
static void naive_settle(naive_world *w, uint8_t number, uint8_t state,
			 uint8_t outcome, bool in_front)
{
	struct naive *p = &w->p[number];
	p->state = state;
	p->outcome = outcome;
	p->is_following = false;
	for (uint8_t i = 0; i < p->count; i++)
		naive_queue(w, in_front ? i : w->queued, p->list[i]);
	p->count = 0;
}

static void naive_settle_like(naive_world *w, uint8_t p, uint8_t source,
			      bool in_front)
{
	naive_settle(w, p, w->p[source].state, w->p[source].outcome, in_front);
}

/* ------------------------------------------------------------- Following */

static bool naive_is_cycle(const naive_world *w, uint8_t p, uint8_t q)
{
	while (q != p && !w->p[q].state && w->p[q].is_following)
		q = w->p[q].source;
	return q == p;
}

/*
 * In the order of ECMAScript following takes two jobs: one that attaches to
 * `q`, pending or not, and one that settles `p` once `q` is.  Behind a finally
 * `q` is attached to at once, and the second job comes after that.
 */
static void naive_adopt(naive_world *w, uint8_t number, uint8_t q)
{
	struct naive *p = &w->p[number];
	p->is_following = true;
	p->is_linking = p->original == NOBODY;
	if (p->is_linking) {
		p->source = q;
		naive_queue(w, w->queued, number);
	} else {
		naive_wait(w, number, q);
	}
}

/* The first of the two jobs has come: wait for the second. */
static void naive_adopted(naive_world *w, uint8_t number)
{
	struct naive *p = &w->p[number];
	p->is_linking = !p->is_linking;
	naive_wait(w, number, p->source);
}

static void naive_follow(naive_world *w, uint8_t p, uint8_t q)
{
	if (!w->p[q].state && naive_is_cycle(w, p, q)) {
		naive_settle(w, p, IS_REJECTED, CYCLE_ERROR, false);
	} else if (w->is_ecmascript) {
		naive_adopt(w, p, q);
	} else if (w->p[q].state) {
		naive_settle_like(w, p, q, false);
	} else {
		w->p[p].is_following = true;
		naive_wait(w, p, q);
	}
}

bool naive_resolve(naive_world *w, uint8_t p, enum naive_state state,
		   uint8_t outcome)
{
	if (w->p[p].state || w->p[p].is_locked) {
		w->ignored++;
		return false;
	}
	w->p[p].is_locked = true;
	naive_settle(w, p, (uint8_t)state, outcome, false);
	return true;
}

bool naive_resolve_with(naive_world *w, uint8_t p, uint8_t q)
{
	w->p[q].is_awaited = true;
	if (w->p[p].state || w->p[p].is_locked) {
		w->ignored++;
		return false;
	}
	w->p[p].is_locked = true;
	naive_follow(w, p, q);
	return true;
}

/* ----------------------------------------------------------- Cancelling */

static bool naive_is_wanted(const naive_world *w, uint8_t number)
{
	const struct naive *const p = &w->p[number];
	/* Who is on the way to wait for it wants it too. */
	for (uint8_t i = 0; i < w->queued; i++) {
		if (w->p[w->queue[i]].source == number)
			return true;
	}
	return p->count || p->holds;
}

/* The cleanup of finally `p`, still to run or still to be waited for. */
static uint8_t naive_stand_in(naive_world *w, uint8_t p)
{
	const uint8_t s = naive_new(w, STAND_IN_KIND);
	w->p[s].record = w->p[p].record;
	return s;
}

static bool naive_is_finally(const struct naive *p)
{
	return p->kind == FINALLY_KIND || p->kind == STAND_IN_KIND;
}

/* One step of the way up: off what it waits for.  Gives that, or NOBODY, and
 * the stand-in whose handler will run, or NOBODY. */
static uint8_t naive_detach(naive_world *w, uint8_t number, uint8_t *stand_in)
{
	struct naive *p = &w->p[number];
	*stand_in = NOBODY;
	if (p->kind == ROOT_KIND && !p->is_following)
		return NOBODY;
	if (p->is_running && !p->is_following)
		return NOBODY;
	naive_leave(w, number);
	if (!p->is_following) {
		if (naive_is_finally(p))
			*stand_in = naive_stand_in(w, number);
		return p->source;
	}
	p->is_following = false;
	if (naive_is_finally(p)) {
		const uint8_t s = naive_stand_in(w, number);
		w->p[s].is_following = true;
		w->p[s].original = p->original;
		naive_wait(w, s, p->source);
		return NOBODY;
	}
	return p->source;
}

void naive_cancel(naive_world *w, uint8_t p)
{
	uint8_t way[NAIVE_MAX], stand_in[NAIVE_MAX], length = 0;
	bool is_on_way[NAIVE_MAX] = { false };
	while (p != NOBODY && !w->p[p].state) {
		const bool is_shield = w->p[p].kind == SHIELD_KIND;
		w->p[p].is_cancelled = true;
		is_on_way[p] = true;
		const uint8_t source = naive_detach(w, p, &stand_in[length]);
		if (w->p[p].is_running)
			naive_settle(w, p, IS_REJECTED, CANCELLED_ERROR, false);
		else
			way[length++] = p;
		p = source;
		if (p == NOBODY || naive_is_wanted(w, p) || is_shield ||
		    is_on_way[p])
			break;
	}
	/* As a rejection would have come down. */
	while (length-- > 0) {
		if (stand_in[length] != NOBODY) {
			w->p[stand_in[length]].source = way[length];
			naive_queue(w, w->queued, stand_in[length]);
		}
		naive_settle(w, way[length], IS_REJECTED, CANCELLED_ERROR,
			     false);
	}
}

/* ---------------------------------------------------------------- Running */

/* What `p` follows has settled: its place in the queue is now that of those
 * who wait for it. */
static void naive_followed(naive_world *w, uint8_t number)
{
	const struct naive *p = &w->p[number];
	const bool is_kept = p->original != NOBODY;
	if (w->is_ecmascript && p->is_linking != is_kept) {
		naive_adopted(w, number);
		return;
	}
	const bool passes = p->original != NOBODY &&
			    w->p[p->source].state == IS_FULFILLED;
	naive_settle_like(w, number, passes ? p->original : p->source,
			  !w->is_ecmascript);
}

static bool naive_reacts(const struct naive *p, uint8_t state)
{
	switch (p->kind) {
	case THEN_KIND:
	case TAP_KIND:
		return state == IS_FULFILLED;
	case CATCH_KIND:
		return state == IS_REJECTED;
	default:
		return naive_is_finally(p);
	}
}

uint8_t naive_run(naive_world *w)
{
	while (w->queued) {
		const uint8_t p = w->queue[0];
		naive_remove(w->queue, &w->queued, p);
		if (w->p[p].is_following) {
			naive_followed(w, p);
		} else if (naive_reacts(&w->p[p], w->p[w->p[p].source].state)) {
			w->p[p].is_running = true;
			return p;
		} else {
			naive_settle_like(w, p, w->p[p].source, false);
		}
	}
	return NOBODY;
}

/* Who passes the outcome on whatever its handler gives. */
static bool naive_keeps(const struct naive *p)
{
	return naive_is_finally(p) || p->kind == TAP_KIND;
}

void naive_returned(naive_world *w, uint8_t number, bool is_given,
		    bool is_error, uint8_t outcome)
{
	struct naive *p = &w->p[number];
	p->is_running = false;
	if (p->state)
		return; /* cancelled meanwhile */
	if (naive_keeps(p) && (is_given || !is_error) && w->is_ecmascript) {
		p->original = p->source;
		naive_adopt(w, number, p->source);
	} else if (is_given || (naive_keeps(p) && !is_error))
		naive_settle_like(w, number, p->source, false);
	else
		naive_settle(w, number, is_error ? IS_REJECTED : IS_FULFILLED,
			     outcome, false);
}

/* Cancelled meanwhile: `q` goes too if nobody else wants it, but the cleanup
 * of a finally goes on. */
static void naive_unwanted(naive_world *w, uint8_t p, uint8_t q)
{
	if (naive_is_finally(&w->p[p])) {
		const uint8_t s = naive_stand_in(w, p);
		w->p[s].is_following = true;
		w->p[s].original = w->p[p].source;
		naive_wait(w, s, q);
	} else if (!naive_is_wanted(w, q)) {
		naive_cancel(w, q);
	}
}

void naive_returned_promise(naive_world *w, uint8_t number, uint8_t q)
{
	struct naive *p = &w->p[number];
	p->is_running = false;
	w->p[q].is_awaited = true;
	if (p->state) {
		naive_unwanted(w, number, q);
	} else if (!naive_keeps(p)) {
		naive_follow(w, number, q);
	} else if (w->p[q].state == IS_FULFILLED && !w->is_ecmascript) {
		naive_settle_like(w, number, p->source, false);
	} else {
		p->original = p->source;
		naive_follow(w, number, q);
	}
}
