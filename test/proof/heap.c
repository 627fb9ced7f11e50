/*
 * SPDX-License-Identifier: MIT
 *
 * heap.c - all nodes of the loop at once.  debug.c checks the invariants of
 * node.h for one promise, as far as it can see from there; here they are
 * checked as what they are, sentences about the whole heap: a count of uses
 * *equals* the number of those who use, a reaction is in *exactly one* ring, a
 * value has *exactly one* owner, and what is neither waited for nor parked is
 * not there any more.
 *
 * Called between two callbacks, when nothing is running.
 */
#include "world.h"

#include <string.h>

/* As struct avow__cleanup of cancel.c; its list goes through `slots`.  Were it
 * to change, blocks would be found that belong to nobody. */
struct cleanup {
	uint32_t word, uses;
	const struct cleanup *next, *back;
	const struct avow__extra *first, *last;
};

struct seen {
	unsigned uses;	 /* of the node, counted by looking */
	unsigned rings;	 /* that it is linked in */
	unsigned parked; /* lists that it is on */
	unsigned blocks; /* promises whose extra, slot or cleanup it is */
};

static struct seen heap[HEAP_MAX];
static unsigned token_owners[TOKENS_MAX], record_owners[NAIVE_MAX];

static char *heap_base(void)
{
	return (char *)avow__slab_of(proof_loop.immortal);
}

unsigned heap_high(void)
{
	const uint64_t bits = proof_loop.bits | proof_loop.bits_hidden;
	return (unsigned)((proof_loop.bits_base - heap_base()) / NODE_SIZE) +
	       (unsigned)__builtin_ctzll(bits);
}

avow_promise *heap_node(unsigned index)
{
	return (avow_promise *)(void *)(heap_base() + index * NODE_SIZE);
}

static unsigned index_of(const void *node)
{
	const size_t offset = (size_t)((const char *)node - heap_base());
	HOLDS("memory: pointers lead to nodes", offset % NODE_SIZE == 0);
	HOLDS("memory: pointers lead to nodes",
	      offset / NODE_SIZE >= SLAB_HEADER_NODES &&
		      offset / NODE_SIZE < heap_high());
	HOLDS("rule 11: freed, but still reachable",
	      !(((const avow_promise *)node)->word & DEAD));
	return (unsigned)(offset / NODE_SIZE);
}

static bool is_input(const avow_promise *p)
{
	return (p->word & (INPUT | ROOT)) == INPUT;
}

/* Pending, and waiting for its source. */
static bool is_waiting(const avow_promise *p)
{
	return !(p->word & (STATE_MASK | RAW | POST | DEAD)) &&
	       (!(p->word & ROOT) || p->word & FOLLOWING);
}

static void count_block(const void *block)
{
	heap[index_of(block)].blocks++;
}

static void count_record(const struct avow__extra *extra)
{
	if (extra->drop == record_drop)
		record_owners[record_of(extra->arg)]++;
}

static void count_extra(const avow_promise *p)
{
	count_block(p->extra);
	for (const struct avow__slot *s = p->extra->slots; s; s = s->next)
		count_block(s);
	count_record(p->extra);
}

static void count_settled(const avow_promise *p)
{
	if (p->word & ALIAS) {
		heap[index_of(p->owner)].uses++;
		HOLDS("invariant 4", avow__is_settled(p->owner));
		HOLDS("invariant 4", !(p->owner->word & ALIAS));
	} else if (p->value.type == &token_type || p->value.type == &bad_type) {
		token_owners[outcome_of(p->value)]++;
	}
}

static void count_ring(avow_promise *tail, const avow_promise *source)
{
	avow_promise *p = tail;
	if (!tail)
		return;
	do {
		HOLDS("invariant 2", p->next->back == p);
		p = p->next;
		const unsigned index = index_of(p);
		HOLDS("invariant 2", heap[index].rings++ == 0);
		if (source)
			HOLDS("invariant 6", p->source == source);
		else if (is_waiting(p))
			HOLDS("invariant 2",
			      avow__is_settled(p->source) || p->word & QUEUED);
		else
			HOLDS("invariant 2", p->word & (POST | QUEUED));
	} while (p != tail);
}

static void count_node(avow_promise *p)
{
	if (p->word & (RAW | POST))
		return;
	promise_check(&proof_loop, p);
	HOLDS("invariant 5", !(p->word & (RUNNING | ON_WAY)));
	if (p->word & EXTRA)
		count_extra(p);
	if (avow__is_settled(p)) {
		count_settled(p);
		return;
	}
	if (is_waiting(p)) {
		heap[index_of(p->source)].uses++;
		if ((p->word & (KEEP | FOLLOWING)) == (KEEP | FOLLOWING))
			heap[index_of(p->original)].uses++;
	}
	count_ring(p->tail, p);
}

static void count_parked(void)
{
	for (unsigned depth = 0; depth <= DEPTH_MAX; depth++) {
		avow_promise *const tail = proof_loop.parked[depth];
		avow_promise *p = tail;
		if (!tail)
			continue;
		HOLDS("rule 11: it will be reaped",
		      depth <= proof_loop.parked_top &&
			      proof_loop.attention & ATTEND_PARKED);
		do {
			p = p->next;
			HOLDS("invariant 7", avow__is_settled(p));
			HOLDS("invariant 5", p->word & PARKED);
			HOLDS("invariant 5", heap[index_of(p)].parked++ == 0);
		} while (p != tail);
	}
}

static void count_cleanups(void)
{
	const struct cleanup *c = (const void *)proof_loop.cleanups;
	for (; c; c = c->next) {
		count_block(c);
		for (const struct avow__extra *e = c->first; e;
		     e = (const void *)e->slots) {
			count_block(e);
			count_record(e);
		}
	}
}

static void count_holds(void)
{
	for (unsigned i = 0; i < world.naive.count; i++) {
		if (world.naive.p[i].holds)
			heap[index_of(world.node[i])].uses +=
				world.naive.p[i].holds;
	}
}

/* Follow links only: a chain of these that comes back to itself would wait for
 * ever. */
static void check_no_circle(const avow_promise *p)
{
	for (unsigned n = 0; p->word & FOLLOWING && !avow__is_settled(p); n++) {
		HOLDS("rule 7: no circle of followers", n < HEAP_MAX);
		p = p->source;
	}
}

static void check_node(const avow_promise *p, const struct seen *seen)
{
	const bool is_block = p->word & RAW;
	HOLDS("memory: each block belongs to one", seen->blocks == is_block);
	if (is_block)
		return;
	HOLDS("invariant 2: in exactly one ring",
	      seen->rings == (is_waiting(p) || p->word & (POST | QUEUED)));
	if (p->word & POST)
		return;
	HOLDS("invariant 3: uses is the number of users",
	      p->uses == seen->uses || p->word & IMMORTAL);
	HOLDS("invariant 5: parked means on a list",
	      seen->parked == !!(p->word & PARKED));
	HOLDS("rule 11: settled and unused is freed or parked",
	      !avow__is_settled(p) || p->uses || seen->parked ||
		      p->word & IMMORTAL);
	HOLDS("invariant 8", !(p->word & CALL));
	check_no_circle(p);
}

static void check_once(void)
{
	for (unsigned i = 1; i <= world.token_count; i++) {
		HOLDS("rule 16: dropped at most once",
		      world.token_drops[i] < 2);
		HOLDS("rule 16: a value has one owner until it is dropped",
		      token_owners[i] + world.token_drops[i] == 1);
	}
	for (unsigned i = 0; i < world.naive.count; i++) {
		HOLDS("rule 19: drop(arg) at most once", world.drops[i] < 2);
		HOLDS("rule 19: drop(arg) is owed by one until it is called",
		      record_owners[i] + world.drops[i] == world.has_drop[i]);
	}
}

void heap_check(void)
{
	const unsigned high = heap_high();
	HOLDS("memory: within the bound of the proof", high < HEAP_MAX);
	memset(heap, 0, sizeof(heap));
	memset(token_owners, 0, sizeof(token_owners));
	memset(record_owners, 0, sizeof(record_owners));
	for (unsigned i = SLAB_HEADER_NODES; i < high; i++) {
		if (!(heap_node(i)->word & DEAD))
			count_node(heap_node(i));
	}
	count_ring(proof_loop.jobs, NULL);
	count_parked();
	count_cleanups();
	count_holds();
	for (unsigned i = SLAB_HEADER_NODES; i < high; i++) {
		if (!(heap_node(i)->word & DEAD))
			check_node(heap_node(i), &heap[i]);
	}
	check_once();
}

/* ------------------------------------------------------------ Fingerprint */

/*
 * Nodes are numbered in the order in which they are met, from the handles that
 * the program may use and from the loop's lists.  What is met is all that can
 * ever be met again.
 */
static struct print {
	struct heap_print sum;
	uint8_t number[HEAP_MAX], token[TOKENS_MAX], naive[HEAP_MAX];
	unsigned count, token_count;
	avow_promise *met[HEAP_MAX];
} print;

static void put(uint64_t word)
{
	struct heap_print *s = &print.sum;
	s->a = (s->a ^ word) * 0x9e3779b97f4a7c15u;
	s->a ^= s->a >> 29;
	s->b = (s->b + word + 0x7f4a7c15u) * 0xff51afd7ed558ccdu;
	s->b ^= s->b >> 32;
}

static void put_node(avow_promise *p)
{
	if (!p) {
		put(0);
		return;
	}
	const unsigned index = index_of(p);
	if (!print.number[index]) {
		print.met[print.count++] = p;
		print.number[index] = (uint8_t)print.count;
	}
	put(print.number[index]);
}

static void put_value(avow_value value)
{
	const uint8_t outcome = outcome_of(value);
	if (value.type != &token_type && value.type != &bad_type) {
		put(outcome);
		return;
	}
	if (!print.token[outcome])
		print.token[outcome] = (uint8_t)++print.token_count;
	put((uint64_t)print.token[outcome] << 8 | (value.type == &bad_type));
}

static void put_record(uint8_t i)
{
	put(i == NOBODY ? (uint64_t)1 << 20
			: (uint64_t)world.naive.p[i].kind |
				  (uint64_t)world.has_drop[i] << 8 |
				  (uint64_t)world.drops[i] << 9 |
				  (uint64_t)world.runs[i] << 10);
}

static void put_extra(const struct avow__extra *e)
{
	put(e->word);
	put((e->fn ? 1u : 0) | (e->drop ? 2u : 0));
	put_record(record_of(e->arg));
}

static void put_ring(avow_promise *tail)
{
	avow_promise *p = tail;
	if (tail) {
		do {
			p = p->next;
			put_node(p);
		} while (p != tail);
	}
	put(0);
}

/* How many naive promises stand between `i` and what the library has it follow:
 * those that were collapsed. */
static unsigned hops(uint8_t i, const avow_promise *source)
{
	unsigned n = 0;
	const struct naive *p = &world.naive.p[i];
	while (p->is_following && world.node[p->source] != source && n < 255) {
		p = &world.naive.p[p->source];
		n++;
	}
	return n;
}

static void put_naive(const avow_promise *p)
{
	const uint8_t i = print.naive[index_of(p)];
	if (i == 0) {
		put(1);
		return;
	}
	const struct naive *n = &world.naive.p[i - 1];
	put((uint64_t)n->kind << 8 | (uint64_t)n->state << 16 |
	    (uint64_t)n->holds << 24 | (uint64_t)n->is_locked << 32 |
	    (uint64_t)n->is_following << 33 | (uint64_t)n->is_awaited << 34 |
	    (uint64_t)world.is_valid[i - 1] << 35 |
	    (uint64_t)(n->outcome == MOVED_AWAY) << 37 |
	    (uint64_t)n->is_cancelled << 38 |
	    (uint64_t)world.has_drop[i - 1] << 39 |
	    (uint64_t)world.got[i - 1] << 40 |
	    (uint64_t)(n->record == i - 1) << 48 |
	    (uint64_t)world.drops[i - 1] << 50 |
	    (uint64_t)world.runs[i - 1] << 52);
	put(hops((uint8_t)(i - 1), is_waiting(p) ? p->source : NULL));
}

static void put_waiting(const avow_promise *p)
{
	put_node(p->source);
	if (!(p->word & FOLLOWING)) {
		if (p->word & EXTRA)
			return;
		if (is_input(p))
			put((uintptr_t)p->arg != 0);
		else
			put_record(record_of(p->arg));
	} else if (p->word & KEEP) {
		put_node(p->original);
	} else {
		put(p->since == (uintptr_t)proof_loop.tick);
	}
}

static void put_contents(avow_promise *p)
{
	put(p->word);
	put(p->uses);
	put_naive(p);
	if (p->word & EXTRA)
		put_extra(p->extra);
	if (avow__is_settled(p)) {
		if (p->word & ALIAS)
			put_node(p->owner);
		else
			put_value(p->value);
		return;
	}
	if (is_waiting(p))
		put_waiting(p);
	put_ring(p->tail);
}

static void put_loop(void)
{
	const avow_loop *l = &proof_loop;
	put(l->attention | (unsigned)l->is_fed << 8 |
	    (unsigned)l->is_draining << 9 | (unsigned)l->is_handed_over << 10 |
	    (unsigned)world.is_fed << 11 |
	    (unsigned)world.is_nested_left << 12 |
	    (uint64_t)l->parked_top << 16 | (uint64_t)l->depth << 32 |
	    (uint64_t)l->busy << 48);
	put(l->birth);
	put(l->depth_word);
	put_ring(l->jobs);
	for (unsigned depth = 0; depth <= l->parked_top; depth++)
		put_ring(l->parked[depth]);
	const struct cleanup *c = (const void *)l->cleanups;
	for (; c; c = c->next) {
		put(c->uses);
		for (const struct avow__extra *e = c->first; e;
		     e = (const void *)e->slots)
			put_extra(e);
	}
}

struct heap_print heap_print(void)
{
	memset(print.number, 0, sizeof(print.number));
	memset(print.naive, 0, sizeof(print.naive));
	memset(print.token, 0, sizeof(print.token));
	print.sum = (struct heap_print){ 1, 2 };
	print.count = print.token_count = 0;
	for (uint8_t i = 0; i < world.naive.count; i++) {
		avow_promise *const p = world.node[i];
		if (p && !(p->word & DEAD))
			print.naive[index_of(p)] = (uint8_t)(i + 1);
	}
	put_loop();
	for (uint8_t i = 0; i < world.naive.count; i++) {
		if (world.is_valid[i] || world.naive.p[i].holds)
			put_node(world.node[i]);
	}
	for (unsigned i = 0; i < print.count; i++)
		put_contents(print.met[i]);
	return print.sum;
}
