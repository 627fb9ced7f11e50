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
#include "settler.h"

#include <pthread.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define SETTLER_IS_ALONE __libc_single_threaded
#endif
#endif
#ifndef SETTLER_IS_ALONE
#define SETTLER_IS_ALONE 0
#endif

#if UINTPTR_MAX > 0xffffffff
#define INDEX_BITS 28
#define GENERATION_BITS 24
#else
#define INDEX_BITS 14
#define GENERATION_BITS 14
#endif
#define GENERATION_MAX ((1u << GENERATION_BITS) - 1)
/* No call has generation 0: a context that is always too late. */
#define CONTEXT_SPENT ((void *)(uintptr_t)1)

/* Chunk k has CHUNK_FIRST << k calls, and none ever moves. */
#define CHUNK_FIRST 64u
#define CHUNK_COUNT (INDEX_BITS - 6)

enum { CALL_FREE = 0, CALL_OPEN = 1, CALL_CLAIMED = 2, CALL_SHIFT = 2 };

struct avow__call {
	uint32_t state;		/* atomic: generation << CALL_SHIFT, CALL_... */
	uint32_t index;
	struct avow__call *next; /* free, or in the mail */
	avow_promise *promise;	/* NULL once it was settled otherwise */
	avow_value value;	/* in the mail */
	struct avow__memory *memory;
	const char *name;
	bool is_threaded;
	bool is_in_hook;	/* its cancel hook is on the stack */
};

/* The calls of one loop.  `mail` and `late_afar` belong to the lock. */
struct avow__table {
	struct avow__call *chunk[CHUNK_COUNT];
	uint32_t made;		/* calls that exist, in use or free */
	struct avow__call *free_head, *free_tail; /* first in, first out */
	struct avow__call *mail; /* tail of a ring */
	uint64_t late_afar;
	size_t open_count, threaded_count;
	bool is_listening;
};

struct avow__seat avow__seats[SEAT_COUNT];
static pthread_mutex_t seat_claim = PTHREAD_MUTEX_INITIALIZER;
/* Seats share locks; only threads that settle from afar meet here. */
#define LOCK_COUNT 16
static pthread_mutex_t seat_locks[LOCK_COUNT] = {
	[0 ... LOCK_COUNT - 1] = PTHREAD_MUTEX_INITIALIZER
};

static pthread_mutex_t *seat_lock(unsigned seat)
{
	return &seat_locks[seat % LOCK_COUNT];
}

/* ------------------------------------------------------------- Contexts */

static uint32_t call_generation(const struct avow__call *call)
{
	return __atomic_load_n(&call->state, __ATOMIC_RELAXED) >> CALL_SHIFT;
}

static void *context_pack(const avow_loop *loop, const struct avow__call *call)
{
	const uintptr_t generation = call_generation(call);
	return (void *)(generation << (INDEX_BITS + SEAT_BITS) |
			(uintptr_t)call->index << SEAT_BITS | loop->seat);
}

static unsigned context_seat(const void *context)
{
	return (uintptr_t)context & (SEAT_COUNT - 1);
}

static uint32_t context_index(const void *context)
{
	return (uint32_t)((uintptr_t)context >> SEAT_BITS) &
	       ((1u << INDEX_BITS) - 1);
}

static uint32_t context_generation(const void *context)
{
	return (uint32_t)((uintptr_t)context >> (INDEX_BITS + SEAT_BITS)) &
	       GENERATION_MAX;
}

/* Call number `index`: CHUNK_FIRST + index has its chunk in its top bit. */
static struct avow__call *table_at(const struct avow__table *table,
				   uint32_t index)
{
	const uint32_t n = index + CHUNK_FIRST;
	const unsigned top = 31 - (unsigned)__builtin_clz(n);
	struct avow__call *chunk = table->chunk[top - 6];
	return &chunk[n - (1u << top)];
}

/* The call of a context in a table that exists, or NULL. */
static struct avow__call *table_find(const struct avow__table *table,
				     const void *context)
{
	const uint32_t index = context_index(context);
	return index < __atomic_load_n(&table->made, __ATOMIC_ACQUIRE) ?
		       table_at(table, index) :
		       NULL;
}

/* Turn an open call of this generation into a claimed one. */
static bool call_claim(struct avow__call *call, uint32_t generation)
{
	uint32_t open = generation << CALL_SHIFT | CALL_OPEN;
	const uint32_t claimed = generation << CALL_SHIFT | CALL_CLAIMED;
	if (SETTLER_IS_ALONE) {
		if (call->state != open)
			return false;
		call->state = claimed;
		return true;
	}
	return __atomic_compare_exchange_n(&call->state, &open, claimed, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static bool call_is_open(const struct avow__call *call, uint32_t generation)
{
	return __atomic_load_n(&call->state, __ATOMIC_RELAXED) ==
	       (generation << CALL_SHIFT | CALL_OPEN);
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
	struct avow__call *call = table_at(table, index);
	memset(call, 0, sizeof(*call));
	call->index = index;
	__atomic_store_n(&call->state, generation << CALL_SHIFT,
			 __ATOMIC_RELAXED);
	/* Another thread may ask for this index by an old context. */
	__atomic_store_n(&table->made, index + 1, __ATOMIC_RELEASE);
	return call;
}

/* Give `p`, a pending root, a call; NULL when out of memory. */
static struct avow__call *call_open(avow_loop *loop, avow_promise *p,
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
			 call_generation(call) << CALL_SHIFT | CALL_OPEN,
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
	const uint32_t generation = call_generation(call) + 1;
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
	call->memory->uses++;
	p->extra->memory = call->memory;
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
	if (call_claim(call, call_generation(call)))
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
	const uint32_t generation = call_generation(call);
	p->word &= ~(uint32_t)CALL;
	p->source = NULL;
	call->promise = NULL;
	/* Another thread may have settled it: its mail is on the way, and the
	 * work is done. */
	if (!call_is_open(call, generation))
		return;
	call->is_in_hook = true;
	hook(arg);
	if (!call_is_open(call, generation))
		return;
	call->is_in_hook = false;
	/* Its memory is still used: it ends when the callback comes. */
	if (!call->memory && call_claim(call, generation))
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
	return call && call_generation(call) ==
				context_generation(context) + 1 &&
			       !call_is_open(call, call_generation(call)) ?
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

/* From another thread than the loop's, or after the loop is gone. */
static void settle_from_afar(const void *context, avow_value value)
{
	const unsigned number = context_seat(context);
	bool is_sent = false;
	CHECK(value.type != &avow_promise_type, NULL,
	      "avow_await() settled from another thread than the loop's");
	pthread_mutex_lock(seat_lock(number));
	avow_loop *loop = avow__seats[number].loop;
	struct avow__table *table = loop ? loop->table : NULL;
	struct avow__call *call = table ? table_find(table, context) : NULL;
	if (call && call_claim(call, context_generation(context))) {
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
	pthread_mutex_unlock(seat_lock(number));
	if (!is_sent)
		avow__value_drop(value);
}

void avow_settle(const void *context, avow_value value)
{
	const struct avow__seat *seat = &avow__seats[context_seat(context)];
	if (UNLIKELY(context_generation(context) == 0)) {
		avow__value_drop(value); /* a call that never was */
		return;
	}
	if (UNLIKELY(!avow__is_owner(seat))) {
		settle_from_afar(context, value);
		return;
	}
	avow__given_check(value);
	avow_loop *loop = seat->loop;
	struct avow__call *call = table_find(loop->table, context);
	if (LIKELY(call && call_claim(call, context_generation(context))))
		call_settle(loop, call, value);
	else
		call_late(loop, call_named(call, context), value);
}

/* The first letter, or NULL; and whether there are more. */
static struct avow__call *mail_next(avow_loop *loop, bool *is_more)
{
	struct avow__table *table = loop->table;
	pthread_mutex_lock(seat_lock(loop->seat));
	struct avow__call *tail = table->mail;
	struct avow__call *call = tail ? tail->next : NULL;
	if (call == tail)
		table->mail = NULL;
	else
		tail->next = call->next;
	*is_more = table->mail;
	pthread_mutex_unlock(seat_lock(loop->seat));
	return call;
}

void avow__seat_lock(const avow_loop *loop)
{
	pthread_mutex_lock(seat_lock(loop->seat));
}

void avow__seat_unlock(const avow_loop *loop)
{
	pthread_mutex_unlock(seat_lock(loop->seat));
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

/* ------------------------------------------------------- For the program */

/* The open call of a context in this thread, or NULL when it is over. */
static struct avow__call *call_mine(const void *context, avow_loop **loop,
				    const char *function)
{
	const struct avow__seat *seat = &avow__seats[context_seat(context)];
	const void *owner = __atomic_load_n(&seat->owner, __ATOMIC_ACQUIRE);
	if (!owner || context_generation(context) == 0)
		return NULL;
	CHECK(owner == avow__self(), NULL,
	      "%s from another thread than the loop's", function);
	*loop = seat->loop;
	struct avow__call *call = table_find((*loop)->table, context);
	return call && call_is_open(call, context_generation(context)) ? call :
									 NULL;
}

avow_call avow_begin_at(const char *place, avow_loop *loop, const char *name)
{
	CHECK(loop, NULL, "avow_begin() with a NULL loop");
	CHECK(loop->thread == avow__self(), NULL,
	      "avow_begin() from another thread than the loop's");
	avow_call begun = { NULL, CONTEXT_SPENT, false };
	begun.promise = avow__root_open(loop, place, 0, &begun.is_open);
	if (!begun.is_open)
		return begun;
	struct avow__call *call = call_open(loop, begun.promise, name);
	if (UNLIKELY(!call)) {
		begun.is_open = false;
		avow__resolve_root(loop, begun.promise,
				   avow_errno(12 /* ENOMEM */));
		return begun;
	}
	begun.context = context_pack(loop, call);
	return begun;
}

avow_call (avow_begin)(avow_loop *loop, const char *name)
{
	return avow_begin_at(NULL, loop, name);
}

avow_promise *avow_end(avow_call call, bool started, int code)
{
	if (started || !call.is_open)
		return call.promise;
	avow_loop *loop = NULL;
	struct avow__call *open = call_mine(call.context, &loop, "avow_end()");
	if (!open || !open->promise)
		return call.promise; /* the callback came all the same */
	avow_promise *p = open->promise;
	const avow_value error =
		code ? avow_error_at(p->place, &avow_start_domain, code,
				     "did not start (%d): %s", code,
				     open->name) :
		       avow_error_at(p->place, &avow_start_domain, code,
				     "did not start: %s", open->name);
	if (call_claim(open, context_generation(call.context)))
		call_settle(loop, open, error);
	else
		avow__value_drop(error);
	return call.promise;
}

void *avow_context(avow_promise *p)
{
	avow_loop *loop = avow__entry(p, "avow_context()");
	if (p->word & (STATE_MASK | LOCKED | IMMORTAL))
		return CONTEXT_SPENT;
	CHECK((p->word & (ROOT | SEALED)) == ROOT, p->place,
	      "context of a promise that settles itself");
	struct avow__call *call =
		p->word & CALL ? p->call : call_open(loop, p, NULL);
	if (call)
		return context_pack(loop, call);
	avow__resolve_root(loop, p, avow_errno(12 /* ENOMEM */));
	return CONTEXT_SPENT;
}

void *avow_threaded(const void *context)
{
	avow_loop *loop = NULL;
	struct avow__call *call = call_mine(context, &loop, "avow_threaded()");
	if (call && !call->is_threaded) {
		call->is_threaded = true;
		if (loop->table->threaded_count++ == 0)
			loop->driver->keep_alive(loop, true);
	}
	return (void *)(uintptr_t)context;
}

void avow_on_cancel(const void *context, avow_job_fn *fn, void *arg)
{
	avow_loop *loop = NULL;
	struct avow__call *call = call_mine(context, &loop, "avow_on_cancel()");
	if (!call || !call->promise)
		return;
	avow_promise *p = call->promise;
	if (p->word & EXTRA)
		p->extra->job = fn;
	else
		p->job = fn;
	p->arg = arg;
}

void *avow_alloc(const void *context, size_t size)
{
	avow_loop *loop = NULL;
	struct avow__call *call = call_mine(context, &loop, "avow_alloc()");
	const size_t head = 16; /* keeps what follows aligned */
	if (!call || !call->promise || size > SIZE_MAX - head)
		return NULL;
	/* When the call is settled the promise needs a place to keep it. */
	if (!avow__extra_of(loop, call->promise))
		return NULL;
	struct avow__memory *memory = avow__alloc(head + size);
	if (!memory)
		return NULL;
	memset(memory, 0, head + size);
	memory->uses = 1;
	memory->next = call->memory;
	call->memory = memory;
	return (char *)memory + head;
}

void avow__thenable_start(avow_loop *loop, avow_promise *p)
{
	const avow_value thenable = p->extra->thenable;
	p->word &= ~(uint32_t)QUEUED;
	struct avow__call *call = call_open(loop, p, thenable.type->name);
	if (!call) {
		avow__settle(loop, p, avow_errno(12 /* ENOMEM */),
			     AVOW_REJECTED, NULL);
		return;
	}
	void *const context = context_pack(loop, call);
	/* It may settle from inside: the thenable must outlive the call. */
	p->word |= RUNNING;
	const avow_value result = thenable.type->then(thenable, context);
	if (avow__value_is_error(result))
		avow_settle(context, result);
	else
		avow__value_drop(result);
	if (avow__is_settled(p)) {
		avow__finish_late(loop, p);
		return;
	}
	p->word &= ~(uint32_t)RUNNING;
	if (p->word & FOLLOWING)
		avow__extra_finish(loop, p);
}

/* ----------------------------------------------------------------- Seats */

static void seat_take(avow_loop *loop, unsigned number)
{
	struct avow__seat *seat = &avow__seats[number];
	pthread_mutex_lock(seat_lock(number));
	seat->loop = loop;
	if (!seat->generation)
		seat->generation = 1;
	loop->seat = number;
	__atomic_store_n(&seat->owner, loop->thread, __ATOMIC_RELEASE);
	pthread_mutex_unlock(seat_lock(number));
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
			call_generation(table_at(table, i));
		top = generation > top ? generation : top;
	}
	return top;
}

static void table_free(struct avow__table *table)
{
	for (uint32_t i = 0; i < table->made; i++)
		avow__memory_free(table_at(table, i)->memory);
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
	pthread_mutex_lock(seat_lock(loop->seat));
	__atomic_store_n(&seat->owner, NULL, __ATOMIC_RELEASE);
	seat->loop = NULL;
	if (top >= GENERATION_MAX / 2)
		seat->is_worn_out = GENERATION_BITS > 20;
	seat->generation = top >= GENERATION_MAX / 2 ? 1 : top + 1;
	struct avow__call *tail = table->mail;
	pthread_mutex_unlock(seat_lock(loop->seat));
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
	pthread_mutex_lock(seat_lock(loop->seat));
	out->late += loop->table->late_afar;
	pthread_mutex_unlock(seat_lock(loop->seat));
	out->call_count = loop->table->open_count;
}
