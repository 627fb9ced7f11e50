/*
 * SPDX-License-Identifier: MIT
 *
 * settler.c - calls that are begun and settled by their callbacks.
 *
 * The context that a callback brings back is no pointer but a number: seat of
 * the loop, index of the call, and its generation.  It can be checked without
 * touching anything that may be gone, so a callback that comes twice, late or
 * after the loop is harmless.
 *
 * Threads.  The state of a call is one word; whoever turns it from open to
 * claimed settles it, all others are too late.  The loop's own thread does so
 * without a lock (and without an atomic instruction while the process has one
 * thread).  Another thread holds the lock of the loop's seat meanwhile, leaves
 * the value in the call, and rings the loop.  The lock also keeps the loop
 * from being freed under it.
 */
#include "call.h"

#include <string.h>

void *avow__context_pack(const avow_loop *loop, const struct avow__call *call)
{
	const uintptr_t generation = avow__call_generation(call);
	return (void *)(generation << (INDEX_BITS + SEAT_BITS) |
			(uintptr_t)call->index << SEAT_BITS | loop->seat);
}

/* ---------------------------------------------------------------- Calls */

static struct avow__call *table_grow(struct avow__table *table,
				     uint32_t generation)
{
	const uint32_t index = table->made;
	if (index >= (1u << INDEX_BITS) - CHUNK_FIRST)
		return NULL;
	const uint32_t n = index + CHUNK_FIRST;
	const unsigned top = 31 - (unsigned)__builtin_clz(n);
	if (n == 1u << top) {
		struct avow__call *chunk =
			avow__alloc(sizeof(*chunk) * ((size_t)1 << top));
		if (!chunk)
			return NULL;
		table->chunk[top - 6] = chunk;
	}
	struct avow__call *call = avow__table_at(table, index);
	memset(call, 0, sizeof(*call));
	call->index = index;
	__atomic_store_n(&call->state, generation << CALL_SHIFT,
			 __ATOMIC_RELAXED);
	/* Another thread may ask for this index by an old context. */
	__atomic_store_n(&table->made, index + 1, __ATOMIC_RELEASE);
	return call;
}

struct avow__call *avow__call_open(avow_loop *loop, avow_promise *p,
				   const char *name)
{
	struct avow__table *table = loop->table;
	if (UNLIKELY(!table->is_listening)) {
		table->is_listening = true;
		loop->driver->listen(loop);
	}
	struct avow__call *call = table->free_head;
	if (call) {
		table->free_head = call->next;
		if (!table->free_head)
			table->free_tail = NULL;
	} else {
		call = table_grow(table, avow__seats[loop->seat].generation);
		if (!call)
			return NULL;
	}
	__atomic_store_n(&call->state,
			 avow__call_generation(call) << CALL_SHIFT | CALL_OPEN,
			 __ATOMIC_RELAXED);
	call->promise = p;
	call->name = name;
	table->open_count++;
	p->call = call;
	p->word |= CALL;
	return call;
}

static void call_unthread(avow_loop *loop, struct avow__call *call)
{
	if (call->is_threaded) {
		call->is_threaded = false;
		if (--loop->table->threaded_count == 0)
			loop->driver->keep_alive(loop, false);
	}
}

/* A claimed call is over: free for the next, under a new generation; retired
 * when there is none left, so that an old context never fits again. */
static inline void call_close(avow_loop *loop, struct avow__call *call)
{
	struct avow__table *table = loop->table;
	const uint32_t generation = avow__call_generation(call) + 1;
	if (UNLIKELY(call->is_threaded))
		call_unthread(loop, call);
	call->promise = NULL;
	call->is_in_hook = false;
	table->open_count--;
	if (UNLIKELY(generation > GENERATION_MAX)) {
		/* Keeps its last generation, and stays claimed. */
		return;
	}
	__atomic_store_n(&call->state, generation << CALL_SHIFT,
			 __ATOMIC_RELAXED);
	call->next = NULL;
	if (table->free_tail)
		table->free_tail->next = call;
	else
		table->free_head = call;
	table->free_tail = call;
}

/* avow_alloc() has made the extra block. */
static void call_share_memory(struct avow__call *call, avow_promise *p)
{
	p->extra->memory = avow__memory_share(call->memory);
}

void avow__call_over(avow_loop *loop, avow_promise *p)
{
	struct avow__call *call = p->call;
	p->word &= ~(uint32_t)CALL;
	p->source = NULL;
	call->promise = NULL;
	/* The work may still use its memory, and the value too: it ends when
	 * the callback has come and the promise is gone. */
	if (call->memory) {
		call_share_memory(call, p);
		return;
	}
	/* If another thread was faster, its mail will close it. */
	if (avow__call_claim(call, avow__call_generation(call)))
		call_close(loop, call);
}

/*
 * A library may call back from inside its own cancel, and a hook may say by
 * avow_settle() that nothing will come: neither is late.
 */
void avow__call_hook(avow_loop *loop, avow_promise *p, avow_job_fn *hook,
		     void *arg)
{
	struct avow__call *call = p->call;
	const uint32_t generation = avow__call_generation(call);
	p->word &= ~(uint32_t)CALL;
	p->source = NULL;
	call->promise = NULL;
	/* Another thread may have settled it: its mail is on the way, and the
	 * work is done. */
	if (!avow__call_is_open(call, generation))
		return;
	call->is_in_hook = true;
	hook(arg);
	if (!avow__call_is_open(call, generation))
		return;
	call->is_in_hook = false;
	/* Its memory is still used: it ends when the callback comes. */
	if (!call->memory && avow__call_claim(call, generation))
		call_close(loop, call);
}

const char *avow__call_name(const avow_promise *p)
{
	return p->call->name;
}

static void call_late(avow_loop *loop, const struct avow__call *call,
		      avow_value value)
{
	loop->late++;
	avow__enter(loop);
#ifdef AVOW_DEBUG
	const avow_report report = { .kind = AVOW_REPORT_LATE,
				     .call = call ? call->name : NULL };
	avow__report(loop, &report);
#else
	(void)call;
#endif
	avow__value_drop(value);
	avow__leave(loop);
}

/* Does the entry still tell which call a late context was for? */
static const struct avow__call *call_named(const struct avow__call *call,
					   const void *context)
{
	if (!call)
		return NULL;
	const uint32_t generation = avow__call_generation(call);
	return generation == avow__context_generation(context) + 1 &&
			       !avow__call_is_open(call, generation) ?
		       call :
		       NULL;
}

/* A claimed call gets its value, in the loop's thread. */
static inline void call_settle(avow_loop *loop, struct avow__call *call,
			avow_value value)
{
	avow_promise *const p = call->promise;
	struct avow__memory *const memory = call->memory;
	call->memory = NULL;
	if (UNLIKELY(!p)) {
		const bool is_late = !call->is_in_hook;
		avow__memory_free(memory);
		call_close(loop, call);
		if (is_late)
			call_late(loop, call, value);
		else
			avow__value_drop(value);
		return;
	}
	p->word &= ~(uint32_t)CALL;
	p->source = NULL;
	/* The value may point into it; avow_alloc() made the extra block. */
	if (UNLIKELY(memory))
		p->extra->memory = memory;
	call_close(loop, call);
	avow__resolve_root(loop, p, value);
}

void avow__call_settle(avow_loop *loop, struct avow__call *call,
		       avow_value value)
{
	call_settle(loop, call, value);
}

/* From another thread than the loop's, or after the loop is gone. */
static void settle_from_afar(const void *context, avow_value value)
{
	const unsigned number = avow__context_seat(context);
	bool is_sent = false;
	CHECK(value.type != &avow_promise_type, NULL,
	      "avow_await() settled from another thread than the loop's");
	pthread_mutex_lock(avow__seat_mutex(number));
	avow_loop *loop = avow__seats[number].loop;
	struct avow__table *table = loop ? loop->table : NULL;
	struct avow__call *call =
		table ? avow__table_find(table, context) : NULL;
	if (call && avow__call_claim(call, avow__context_generation(context))) {
		call->value = value;
		if (table->mail) {
			call->next = table->mail->next;
			table->mail->next = call;
		} else {
			call->next = call;
		}
		table->mail = call;
		loop->driver->ring(loop);
		is_sent = true;
	} else if (table) {
		table->late_afar++;
	}
	pthread_mutex_unlock(avow__seat_mutex(number));
	if (!is_sent)
		avow__value_drop(value);
}

void avow_settle(const void *context, avow_value value)
{
	const struct avow__seat *seat =
		&avow__seats[avow__context_seat(context)];
	if (UNLIKELY(avow__context_generation(context) == 0)) {
		avow__value_drop(value); /* a call that never was */
		return;
	}
	if (UNLIKELY(!avow__is_owner(seat))) {
		settle_from_afar(context, value);
		return;
	}
	avow__given_check(value);
	avow_loop *loop = seat->loop;
	struct avow__call *call = avow__table_find(loop->table, context);
	if (LIKELY(call) &&
	    LIKELY(avow__call_claim(call, avow__context_generation(context))))
		call_settle(loop, call, value);
	else
		call_late(loop, call_named(call, context), value);
}

/* The first letter, or NULL; and whether there are more. */
static struct avow__call *mail_next(avow_loop *loop, bool *is_more)
{
	struct avow__table *table = loop->table;
	pthread_mutex_lock(avow__seat_mutex(loop->seat));
	struct avow__call *tail = table->mail;
	struct avow__call *call = tail ? tail->next : NULL;
	if (call == tail)
		table->mail = NULL;
	else
		tail->next = call->next;
	*is_more = table->mail;
	pthread_mutex_unlock(avow__seat_mutex(loop->seat));
	return call;
}

void avow__mail(avow_loop *loop)
{
	avow__enter(loop);
	/* One at a time, and the bell once more: a drop may wait for what comes
	 * behind it. */
	for (bool is_first = true, is_more;; is_first = false) {
		struct avow__call *call = mail_next(loop, &is_more);
		if (!call)
			break;
		if (is_first && is_more)
			loop->driver->ring(loop);
		call_settle(loop, call, call->value);
	}
	avow__leave(loop);
}
