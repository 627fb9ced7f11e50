/*
 * SPDX-License-Identifier: MIT
 *
 * slab.c - where slabs come from, when they go back, and the reserve.
 *
 * A slab is in one of four places: in the loop's hand, in the ring of partial
 * ones, on the list of spare (empty) ones, or nowhere because it is full.  One
 * more is set aside, to be used only after an allocation failed, so that
 * chains stay complete and cleanup still runs; the first slab that becomes
 * empty again fills its place.
 */
#include "slab.h"

#include "alloc.h"

#include <string.h>

static void slab_partial_add(avow_loop *loop, struct avow__slab *slab)
{
	struct avow__slab *head = loop->partial;
	slab->is_partial = true;
	if (!head) {
		slab->next = slab->prev = slab;
		loop->partial = slab;
		return;
	}
	/* In front: what was freed last is still in the cache. */
	slab->next = head;
	slab->prev = head->prev;
	head->prev->next = slab;
	head->prev = slab;
	loop->partial = slab;
}

static void slab_partial_remove(avow_loop *loop, struct avow__slab *slab)
{
	slab->is_partial = false;
	slab->prev->next = slab->next;
	slab->next->prev = slab->prev;
	if (loop->partial == slab)
		loop->partial = slab->next == slab ? NULL : slab->next;
}

static struct avow__slab *slab_new(avow_loop *loop)
{
	struct avow__slab *slab = avow__alloc_aligned(SLAB_SIZE, SLAB_SIZE);
	if (!slab)
		return NULL;
	memset(slab, 0, sizeof(*slab));
	slab->loop = loop;
	memset(slab->free, 0xff, sizeof(slab->free));
	slab->free[0] &= ~((1ull << SLAB_HEADER_NODES) - 1);
	if (loop->all) {
		slab->all_next = loop->all;
		slab->all_prev = loop->all->all_prev;
		slab->all_prev->all_next = slab;
		loop->all->all_prev = slab;
	} else {
		slab->all_next = slab->all_prev = slab;
		loop->all = slab;
	}
	loop->slab_count++;
	return slab;
}

static void slab_free(avow_loop *loop, struct avow__slab *slab)
{
	slab->all_prev->all_next = slab->all_next;
	slab->all_next->all_prev = slab->all_prev;
	if (loop->all == slab)
		loop->all = slab->all_next == slab ? NULL : slab->all_next;
	loop->slab_count--;
	avow__free_aligned(slab, SLAB_SIZE);
}

static void slab_reserve(avow_loop *loop, struct avow__slab *slab)
{
	loop->reserve = slab;
	if (slab)
		loop->is_on_reserve = false;
}

static void slab_is_empty(avow_loop *loop, struct avow__slab *slab)
{
	if (slab->is_partial)
		slab_partial_remove(loop, slab);
	if (!loop->reserve) {
		slab_reserve(loop, slab);
	} else if (loop->spare_count < loop->spare_max) {
		slab->next = loop->spare;
		loop->spare = slab;
		loop->spare_count++;
	} else {
		slab_free(loop, slab);
	}
}

void avow__slabs_restock(avow_loop *loop)
{
	if (!loop->reserve)
		slab_reserve(loop, slab_new(loop));
}

void avow__slab_freed(avow_loop *loop, struct avow__slab *slab)
{
	if (!slab->used)
		slab_is_empty(loop, slab);
	else
		slab_partial_add(loop, slab);
}

void avow__slabs_trim(avow_loop *loop)
{
	while (loop->spare_count > loop->spare_max) {
		struct avow__slab *slab = loop->spare;
		loop->spare = slab->next;
		loop->spare_count--;
		slab_free(loop, slab);
	}
}

/* The reserve, if even that is there.  It is told by the next drain: the hook
 * is the program's code, and who allocates is in the middle of something. */
static struct avow__slab *slab_from_reserve(avow_loop *loop)
{
	struct avow__slab *slab = loop->reserve;
	loop->reserve = NULL;
	if (slab && !loop->is_on_reserve) {
		loop->is_on_reserve = true;
		loop->must_tell_memory = true;
		avow__wake(loop);
	}
	return slab;
}

/* The next slab to hand out from; the one in hand is full. */
static struct avow__slab *slab_next(avow_loop *loop)
{
	struct avow__slab *slab = loop->partial;
	if (slab) {
		slab_partial_remove(loop, slab);
		return slab;
	}
	slab = loop->spare;
	if (slab) {
		loop->spare = slab->next;
		loop->spare_count--;
		return slab;
	}
	slab = slab_new(loop);
	return slab ? slab : slab_from_reserve(loop);
}

/* Take the first word with free nodes in hand; false when the slab is full. */
static bool slab_take_word(avow_loop *loop, struct avow__slab *slab)
{
	for (size_t i = 0; i < SLAB_WORDS; i++) {
		const uint64_t bits = slab->free[i];
		if (!bits)
			continue;
		slab->free[i] = 0;
		loop->bits = bits;
		loop->bits_base = (char *)slab + i * 64 * NODE_SIZE;
		return true;
	}
	return false;
}

void avow__slabs_hide(avow_loop *loop)
{
	if (avow__is_nested(loop))
		return;
	loop->attention |= ATTEND_NESTED;
	loop->bits_hidden = loop->bits;
	loop->bits = 0;
}

void avow__slabs_show(avow_loop *loop)
{
	if (!avow__is_nested(loop))
		return;
	loop->attention &= (unsigned char)~ATTEND_NESTED;
	loop->bits = loop->bits_hidden;
	loop->bits_hidden = 0;
}

static void *slab_refill(avow_loop *loop)
{
	if (!slab_take_word(loop, loop->slab)) {
		struct avow__slab *slab = slab_next(loop);
		if (!slab)
			return NULL;
		/* It is left because it is full. */
		loop->slab->used = SLAB_NODES;
		loop->slab = slab;
		(void)slab_take_word(loop, slab);
	}
	return avow__node_alloc(loop);
}

void *avow__node_refill(avow_loop *loop)
{
	if (!avow__is_nested(loop))
		return slab_refill(loop);
	/* Nested: every node comes this way, to learn the depth of now. */
	avow__slabs_show(loop);
	void *node = avow__node_alloc(loop);
	avow__slabs_hide(loop);
	loop->birth = (uint32_t)avow__depth_now(loop) << DEPTH_SHIFT;
	return node;
}

bool avow__slabs_open(avow_loop *loop)
{
	loop->slab = slab_new(loop);
	if (!loop->slab)
		return false;
	loop->reserve = slab_new(loop);
	if (!loop->reserve) {
		slab_free(loop, loop->slab);
		return false;
	}
	return true;
}

void avow__slabs_close(avow_loop *loop)
{
#ifdef AVOW_DEBUG
	avow__quarantine_end(loop);
#endif
	while (loop->all)
		slab_free(loop, loop->all);
}

/* The nodes of one word that are handed out. */
static uint64_t slab_live(const avow_loop *loop, const struct avow__slab *slab,
			  size_t word)
{
	uint64_t live = ~slab->free[word];
	if (word == 0)
		live &= ~((1ull << SLAB_HEADER_NODES) - 1);
	if ((const char *)slab + word * 64 * NODE_SIZE == loop->bits_base)
		live &= ~(loop->bits | loop->bits_hidden);
	return live;
}

void avow__slabs_each(avow_loop *loop,
		      void (*visit)(avow_loop *loop, void *node, void *arg),
		      void *arg)
{
	struct avow__slab *const last = loop->all->all_prev;
	struct avow__slab *slab = loop->all;
	for (;; slab = slab->all_next) {
		char *const nodes = (char *)slab;
		for (size_t i = 0; i < SLAB_WORDS * 64; i++) {
			if (slab_live(loop, slab, i / 64) >> i % 64 & 1)
				visit(loop, nodes + i * NODE_SIZE, arg);
		}
		if (slab == last)
			return;
	}
}

size_t avow__slabs_used(const avow_loop *loop)
{
	size_t used = 0;
	const struct avow__slab *slab = loop->all;
	do {
		used += slab->used;
		slab = slab->all_next;
	} while (slab != loop->all);
	used -= loop->slab->used;
	for (size_t i = 0; i < SLAB_WORDS; i++)
		used += (size_t)__builtin_popcountll(
			slab_live(loop, loop->slab, i));
	return used;
}
