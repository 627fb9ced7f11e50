/*
 * SPDX-License-Identifier: MIT
 *
 * slab.h - nodes of 64 bytes, handed out in address order.
 *
 * A slab is 64 KiB, aligned to its size, so that a node leads to its loop by a
 * mask.  A bitmap says which nodes are free.  The loop takes one word of it in
 * hand and hands its nodes out lowest first; freed nodes go back to the slab's
 * own bitmap.  (A list of free nodes becomes fifty times slower once real use
 * has shuffled it: bench/README.md.)
 */
#ifndef AVOW_SRC_SLAB_H
#define AVOW_SRC_SLAB_H

#include "loop.h"

#define SLAB_SIZE 65536
#define SLAB_WORDS (SLAB_SIZE / NODE_SIZE / 64)

struct avow__slab {
	avow_loop *loop;
	struct avow__slab *next, *prev;		/* partial ring or spare list */
	struct avow__slab *all_next, *all_prev;
	uint32_t used;		/* nodes handed out; not kept while in hand */
	bool is_partial;	/* in the loop's partial ring */
	uint64_t free[SLAB_WORDS];
};
/* Nodes at the start of a slab that its own header takes. */
#define SLAB_NODES (SLAB_SIZE / NODE_SIZE - SLAB_HEADER_NODES)
#define SLAB_HEADER_NODES \
	((sizeof(struct avow__slab) + NODE_SIZE - 1) / NODE_SIZE)

static inline struct avow__slab *avow__slab_of(const void *node)
{
	return (struct avow__slab *)((uintptr_t)node &
				     ~(uintptr_t)(SLAB_SIZE - 1));
}

/* Takes the next word in hand; NULL when even the reserve is spent. */
void *avow__node_refill(avow_loop *loop);
/* A slab other than the one in hand has changed from full or to empty. */
void avow__slab_freed(avow_loop *loop, struct avow__slab *slab);

/* A node with undefined contents, or NULL. */
static inline void *avow__node_alloc(avow_loop *loop)
{
	const uint64_t bits = loop->bits;
	if (UNLIKELY(!bits))
		return avow__node_refill(loop);
	loop->bits = bits & (bits - 1);
	return loop->bits_base + (size_t)__builtin_ctzll(bits) * NODE_SIZE;
}

static inline void avow__node_give_back(avow_loop *loop, void *node)
{
	struct avow__slab *slab = avow__slab_of(node);
	const size_t index = ((uintptr_t)node & (SLAB_SIZE - 1)) / NODE_SIZE;
	slab->free[index / 64] |= 1ull << (index % 64);
	if (UNLIKELY(slab != loop->slab) &&
	    (--slab->used == 0 || !slab->is_partial))
		avow__slab_freed(loop, slab);
}

#ifdef AVOW_DEBUG
void avow__quarantine(avow_loop *loop, void *node);
void avow__quarantine_end(avow_loop *loop);
#endif

static inline void avow__node_free(avow_loop *loop, void *node)
{
	*(uint32_t *)node = DEAD;
#ifdef AVOW_DEBUG
	avow__quarantine(loop, node);
#else
	avow__node_give_back(loop, node);
#endif
}

/* The same for a block that is no promise: a stale handle must not find the
 * place of one in it. */
static inline void avow__raw_free(avow_loop *loop, void *node)
{
	((avow_promise *)node)->place = NULL;
	avow__node_free(loop, node);
}

/* At the start of a loop: one slab in hand, one in reserve. */
bool avow__slabs_open(avow_loop *loop);
/* All memory back to the allocator, whatever is in it. */
void avow__slabs_close(avow_loop *loop);
/* Set a reserve aside again, once there is memory. */
void avow__slabs_restock(avow_loop *loop);
/* More than spare_max empty slabs go back. */
void avow__slabs_trim(avow_loop *loop);
/* Depth bookkeeping: while nested, every allocation passes through refill. */
void avow__slabs_hide(avow_loop *loop);
void avow__slabs_show(avow_loop *loop);
/*
 * Call `visit` for each node that is handed out.  `visit` may allocate and
 * free nodes; nodes made meanwhile may or may not be visited.  No slab may be
 * given back meanwhile: spare_max must be out of reach.
 */
void avow__slabs_each(avow_loop *loop,
		      void (*visit)(avow_loop *loop, void *node, void *arg),
		      void *arg);
size_t avow__slabs_used(const avow_loop *loop);

#endif
