/*
 * SPDX-License-Identifier: MIT
 *
 * debug.c - the checks of AVOW_DEBUG builds: the invariants of node.h by their
 * numbers, values that were lent and then given away, and a quarantine that
 * keeps freed nodes from being used again for a long time.
 */
#include "debug.h"

#ifdef AVOW_DEBUG

#include "alloc.h"
#include "promise.h"

#include <string.h>

#define QUARANTINE_COUNT 65536
#define POISON 0xdb

#define INVARIANT(number, claim) \
	CHECK(claim, p->place, "invariant %d is broken: %s", number, #claim)

void promise_check(const avow_loop *loop, const avow_promise *p)
{
	const bool is_settled = avow__is_settled(p);
	const uint32_t word = p->word;
	INVARIANT(0, !(word & DEAD));
	INVARIANT(0, (word & STATE_MASK) != STATE_MASK);
	INVARIANT(0, avow__slab_of(p)->loop == loop);
	if (is_settled) {
		if (word & ALIAS) {
			INVARIANT(4, avow__is_settled(p->owner));
			INVARIANT(4, !(p->owner->word & (ALIAS | DEAD)));
			INVARIANT(4, p->owner->uses > 0);
		}
	} else {
		INVARIANT(7, !(word & PARKED));
		if (!(word & (ROOT | RUNNING)) || word & FOLLOWING) {
			INVARIANT(6, !(p->source->word & DEAD));
			INVARIANT(6, p->source->uses > 0);
			INVARIANT(2, p->next->back == p);
			INVARIANT(2, p->back->next == p);
		}
		if (p->tail) {
			INVARIANT(3, p->uses > 0);
			INVARIANT(2, p->tail->next->back == p->tail);
			INVARIANT(6, p->tail->source == p);
		}
	}
	INVARIANT(8, word & ROOT || !(word & CALL));
}

/* --------------------------------------------------------------- Lending */

void avow__lend(avow_value value)
{
	avow_loop *loop = avow__thread.current;
	if (!loop || !loop->running || !value.type || !value.type->drop)
		return;
	/* The running handler's own argument may be returned as it is. */
	if (avow__value_same(value, avow__owner(loop->running->source)->value))
		return;
	const unsigned n = sizeof(loop->lent) / sizeof(*loop->lent);
	loop->lent[loop->lent_count++ % n] = value;
}

void avow__unlend(avow_value value)
{
	avow_loop *loop = avow__thread.current;
	const unsigned n = sizeof(loop->lent) / sizeof(*loop->lent);
	for (unsigned i = 0; loop && i < n; i++) {
		if (avow__value_same(loop->lent[i], value))
			loop->lent[i] = avow__none;
	}
}

/* Nothing to drop; or a container that has another owner too: whose use of it
 * is given away here cannot be told. */
static bool debug_is_harmless(avow_value value)
{
	if (!value.type || !value.type->drop || !value.as.ptr)
		return true;
	const struct avow__container *const container = value.as.ptr;
	return value.type->copy == avow__container_copy &&
	       __atomic_load_n(&container->uses, __ATOMIC_RELAXED) > 1;
}

void avow__lent_check(avow_loop *loop, const avow_promise *p, avow_value value)
{
	const unsigned n = sizeof(loop->lent) / sizeof(*loop->lent);
	if (debug_is_harmless(value))
		return;
	for (unsigned i = 0; i < n; i++)
		CHECK(!avow__value_same(loop->lent[i], value), p->place,
		      "a borrowed %s was given away: avow_take() it first",
		      value.type->name);
}

void avow__given_check(avow_value value)
{
	avow_loop *loop = avow__thread.current;
	const avow_promise *p = loop ? loop->running : NULL;
	if (!p || debug_is_harmless(value))
		return;
	avow__lent_check(loop, p, value);
	/* A counted type may have been taken: then it is the copy's turn. */
	CHECK(p->word & TOOK ||
		      !avow__value_same(value, avow__owner(p->source)->value),
	      p->place,
	      "a handler gave its argument (%s) away: avow_take() it first",
	      value.type->name);
}

void avow__lent_end(avow_loop *loop)
{
	memset(loop->lent, 0, sizeof(loop->lent));
	loop->lent_count = 0;
}

/* ------------------------------------------------------------ Quarantine */

void avow__quarantine(avow_loop *loop, void *node)
{
	avow_promise *p = node;
	const char *const place = p->place;
	memset(p, POISON, NODE_SIZE);
	p->word = DEAD;
	p->place = place;
	if (!loop->quarantine) {
		loop->quarantine =
			avow__alloc(QUARANTINE_COUNT * sizeof(void *));
		if (!loop->quarantine) {
			avow__node_give_back(loop, node);
			return;
		}
		memset(loop->quarantine, 0, QUARANTINE_COUNT * sizeof(void *));
	}
	avow_promise **seat =
		&loop->quarantine[loop->quarantine_at++ % QUARANTINE_COUNT];
	if (*seat)
		avow__node_give_back(loop, *seat);
	*seat = p;
}

void avow__quarantine_end(avow_loop *loop)
{
	if (loop->quarantine)
		avow__free(loop->quarantine);
	loop->quarantine = NULL;
}

#endif

/* A file must not be empty. */
typedef int debug_is_not_empty;
