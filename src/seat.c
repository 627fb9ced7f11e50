/*
 * SPDX-License-Identifier: MIT
 *
 * seat.c - the numbers of loops, which contexts carry, and the tables of their
 * calls.  A seat is never freed and remembers the highest generation that was
 * given out on it; a table goes with its loop.
 */
#include "call.h"

#include <string.h>

struct avow__seat avow__seats[SEAT_COUNT];
static pthread_mutex_t seat_claim = PTHREAD_MUTEX_INITIALIZER;
#define LOCK_COUNT 16
static pthread_mutex_t seat_locks[LOCK_COUNT] = {
	[0 ... LOCK_COUNT - 1] = PTHREAD_MUTEX_INITIALIZER
};

pthread_mutex_t *avow__seat_mutex(unsigned seat)
{
	return &seat_locks[seat % LOCK_COUNT];
}

/*
 * The child of a fork() has one thread, and the locks that another one held
 * at that moment would stay locked in it for ever.  So the thread that forks
 * holds them all.
 */
static void seat_before_fork(void)
{
	pthread_mutex_lock(&seat_claim);
	for (unsigned i = 0; i < LOCK_COUNT; i++)
		pthread_mutex_lock(&seat_locks[i]);
}

static void seat_after_fork(void)
{
	for (unsigned i = 0; i < LOCK_COUNT; i++)
		pthread_mutex_unlock(&seat_locks[i]);
	pthread_mutex_unlock(&seat_claim);
}

static void seat_mind_forks(void)
{
	(void)pthread_atfork(seat_before_fork, seat_after_fork,
			     seat_after_fork);
}

void avow__seat_lock(const avow_loop *loop)
{
	pthread_mutex_lock(avow__seat_mutex(loop->seat));
}

void avow__seat_unlock(const avow_loop *loop)
{
	pthread_mutex_unlock(avow__seat_mutex(loop->seat));
}

static void seat_take(avow_loop *loop, unsigned number)
{
	struct avow__seat *seat = &avow__seats[number];
	pthread_mutex_lock(avow__seat_mutex(number));
	seat->loop = loop;
	if (!seat->generation)
		seat->generation = 1;
	loop->seat = number;
	__atomic_store_n(&seat->owner, loop->thread, __ATOMIC_RELEASE);
	pthread_mutex_unlock(avow__seat_mutex(number));
}

/* The next free seat after the last one taken, so that each rests long. */
static unsigned seat_find(void)
{
	static unsigned last = 0;
	for (unsigned i = 1; i < SEAT_COUNT; i++) {
		const unsigned number = (last + i) % SEAT_COUNT;
		const struct avow__seat *seat = &avow__seats[number];
		/* Seat 0 is nobody's: what was never set stands for it. */
		if (number && !seat->loop && !seat->is_worn_out) {
			last = number;
			return number;
		}
	}
	return 0;
}

bool avow__calls_open(avow_loop *loop)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, seat_mind_forks);
	loop->table = avow__alloc(sizeof(*loop->table));
	if (!loop->table)
		return false;
	memset(loop->table, 0, sizeof(*loop->table));
	pthread_mutex_lock(&seat_claim);
	const unsigned number = seat_find();
	if (number)
		seat_take(loop, number);
	pthread_mutex_unlock(&seat_claim);
	if (!number)
		avow__free(loop->table);
	return number != 0;
}

void avow__calls_adopt(avow_loop *loop)
{
	__atomic_store_n(&avow__seats[loop->seat].owner, loop->thread,
			 __ATOMIC_RELEASE);
}

/* The highest generation that a context of this table may carry. */
static uint32_t table_generation_top(const struct avow__table *table,
				     uint32_t before)
{
	uint32_t top = before;
	for (uint32_t i = 0; i < table->made; i++) {
		const uint32_t generation =
			avow__call_generation(avow__table_at(table, i));
		top = generation > top ? generation : top;
	}
	return top;
}

static void table_free(struct avow__table *table)
{
	for (uint32_t i = 0; i < table->made; i++)
		avow__memory_free(avow__table_at(table, i)->memory);
	for (size_t i = 0; i < CHUNK_COUNT; i++) {
		if (table->chunk[i])
			avow__free(table->chunk[i]);
	}
	avow__free(table);
}

void avow__calls_close(avow_loop *loop)
{
	struct avow__seat *seat = &avow__seats[loop->seat];
	struct avow__table *table = loop->table;
	const uint32_t top =
		table_generation_top(table, seat->generation - 1);

	pthread_mutex_lock(&seat_claim);
	pthread_mutex_lock(avow__seat_mutex(loop->seat));
	__atomic_store_n(&seat->owner, NULL, __ATOMIC_RELEASE);
	seat->loop = NULL;
	if (top >= GENERATION_MAX / 2)
		seat->is_worn_out = GENERATION_BITS > 20;
	seat->generation = top >= GENERATION_MAX / 2 ? 1 : top + 1;
	struct avow__call *tail = table->mail;
	pthread_mutex_unlock(avow__seat_mutex(loop->seat));
	pthread_mutex_unlock(&seat_claim);

	if (tail) {
		struct avow__call *call = tail->next;
		tail->next = NULL;
		for (; call; call = call->next)
			avow__value_drop(call->value);
	}
	/* Calls that are still in the mail, or whose memory is in use. */
	if (table->threaded_count)
		loop->driver->keep_alive(loop, false);
	loop->table = NULL;
	table_free(table);
}

void avow__calls_stats(const avow_loop *loop, avow_stats *out)
{
	pthread_mutex_lock(avow__seat_mutex(loop->seat));
	out->late += loop->table->late_afar;
	pthread_mutex_unlock(avow__seat_mutex(loop->seat));
	out->call_count = loop->table->open_count;
}
