/*
 * SPDX-License-Identifier: MIT
 *
 * reap.c - the end of promises: parking what is settled and unused until the
 * callback at its depth has returned, freeing it, telling of rejections that
 * nobody handled; and the extra blocks, which end with what they belong to.
 *
 * Drops, hooks and reports are the program's code and may do anything, so each
 * runs when nothing is in between.
 */
#include "promise.h"

/* ---------------------------------------------------------------- Reaping */

void avow__unhandled(avow_loop *loop, avow_promise *p)
{
	const avow_value error = avow__owner(p)->value;
	if (avow_error_is(error, &avow_core_domain, AVOW_ECANCELLED) ||
	    (avow__is_closing(loop) &&
	     avow_error_is(error, &avow_core_domain, AVOW_EABANDONED)))
		return;
	avow_report report = { .kind = AVOW_REPORT_UNHANDLED, .error = error };
	const char *const place[4] = {
		p->place, p->place_before, p->place_older,
		p->word & EXTRA ? NULL : p->place_oldest
	};
	for (size_t i = 0; i < 4 && place[i]; i++) {
		if (*place[i])
			report.place[report.place_count++] = place[i];
	}
	/* The hook may look at anything but this promise. */
	p->word |= HANDLED | RUNNING;
	avow__report(loop, &report);
	p->word &= ~(uint32_t)RUNNING;
}

void avow__slots_clear(avow_loop *loop, struct avow__extra *extra)
{
	while (extra->slots) {
		struct avow__slot *slot = extra->slots;
		extra->slots = slot->next;
		*slot->where = NULL;
		avow__raw_free(loop, slot);
	}
}

/* Free `p`: settled, unused, off every list. */
static void reap_free(avow_loop *loop, avow_promise *p)
{
	const uint32_t word = p->word;
	if (UNLIKELY((word & (AVOW_REJECTED | HANDLED)) == AVOW_REJECTED)) {
		avow__unhandled(loop, p);
		/* The hook can have held it only through a slot. */
		if (p->uses || p->word & PARKED)
			return;
	}
	struct avow__memory *memory = NULL;
	if (UNLIKELY(word & EXTRA)) {
		struct avow__extra *extra = p->extra;
		avow__slots_clear(loop, extra);
		memory = word & ROOT ? extra->memory : NULL;
		if (avow__shared_of(extra))
			p->value = avow_own(extra->shared, &avow__shared_type);
		avow__raw_free(loop, extra);
	}
	if (word & ALIAS) {
		avow_promise *owner = p->owner;
		avow__node_free(loop, p);
		avow__unuse(loop, owner);
	} else {
		const avow_value value = p->value;
		avow__node_free(loop, p);
		avow__value_drop(value);
	}
	if (UNLIKELY(memory))
		avow__memory_free(memory);
}

void avow__park(avow_loop *loop, avow_promise *p)
{
	if (p->word & (PARKED | RUNNING | IMMORTAL))
		return;
	unsigned depth = avow__depth_of(p);
	/* Deeper than this callback: of a loop nested in an earlier one, or
	 * never given out.  A loop nested from here on must not reap it. */
	if (UNLIKELY(depth > DEPTH_BASE)) {
		const unsigned now = avow__depth_now(loop);
		depth = depth < now ? depth : now;
	}
	avow__park_at(loop, p, depth);
}

void avow__retire(avow_loop *loop, avow_promise *p)
{
	if (UNLIKELY(p->word & (PARKED | RUNNING | IMMORTAL)))
		return;
	if (LIKELY(avow__depth_of(p) >= loop->depth && loop->is_draining))
		reap_free(loop, p);
	else
		avow__park(loop, p);
}

void avow__unuse(avow_loop *loop, avow_promise *p)
{
	if (--p->uses == 0 && avow__is_settled(p))
		avow__retire(loop, p);
}

void avow__unuse_in_call(avow_loop *loop, avow_promise *p)
{
	if (--p->uses == 0 && avow__is_settled(p))
		avow__park(loop, p);
}

/* The program may park more from inside a drop: that is another list then. */
static inline void reap_list(avow_loop *loop, avow_promise **list)
{
	avow_promise *const tail = *list;
	if (!tail)
		return;
	*list = NULL;
	for (avow_promise *p = tail->next, *next;; p = next) {
		const bool is_last = p == tail;
		next = p->next;
		const uint32_t word = p->word & ~(uint32_t)PARKED;
		p->word = word;
		if (p->uses == 0 && !(word & RUNNING)) {
			if (LIKELY(!(word & (EXTRA | ALIAS | AVOW_REJECTED)))) {
				const avow_value value = p->value;
				avow__node_free(loop, p);
				avow__value_drop(value);
			} else {
				reap_free(loop, p);
			}
		}
		if (is_last)
			return;
	}
}

/* Drops may park more, for ever: after so many rounds the rest waits. */
#define REAP_ROUNDS_MAX 64

void avow__reap(avow_loop *loop, unsigned depth)
{
	for (int i = 0; i < REAP_ROUNDS_MAX && loop->parked_top >= depth; i++) {
		const unsigned top = loop->parked_top;
		reap_list(loop, &loop->parked[top]);
		/* A drop may have parked deeper, or here again. */
		if (loop->parked_top == top && !loop->parked[top])
			loop->parked_top = top - 1;
	}
	if (!loop->parked_top)
		loop->attention &= (unsigned char)~ATTEND_PARKED;
}

/* ----------------------------------------------------------------- Extras */

struct avow__extra *avow__extra_of(avow_loop *loop, avow_promise *p)
{
	if (p->word & EXTRA)
		return p->extra;
	struct avow__extra *extra = avow__node_alloc(loop);
	if (!extra)
		return NULL;
	*extra = (struct avow__extra){ .word = RAW };
	if (!avow__is_settled(p)) {
		extra->fn = p->fn;
		extra->arg = p->arg;
	}
	p->extra = extra;
	p->word |= EXTRA;
	return extra;
}

void avow__extra_finish(avow_loop *loop, avow_promise *p)
{
	struct avow__extra *extra = p->extra;
	const bool is_root = p->word & ROOT;
	const avow_value thenable =
		p->word & THENABLE ? extra->thenable : avow__none;
	void *const arg = extra->arg;
	avow_drop_fn *const drop = p->word & THENABLE ? NULL : extra->drop;
	const size_t copy_size = extra->copy_size;

	p->word &= ~(uint32_t)THENABLE;
	extra->arg = NULL;
	extra->drop = NULL;
	extra->copy_size = 0;
	if (!extra->slots && !(is_root && extra->memory) &&
	    !avow__shared_of(extra)) {
		p->word &= ~(uint32_t)EXTRA;
		p->fn = NULL;
		avow__raw_free(loop, extra);
	}
	/* Now that nothing is in between: the program's code. */
	avow__show_jobs(loop);
	if (drop)
		drop(arg);
	if (copy_size)
		avow_block_free_(arg, copy_size);
	avow__value_drop(thenable);
}
