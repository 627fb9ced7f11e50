/*
 * SPDX-License-Identifier: MIT
 *
 * begin.c - calls as the program and its callbacks meet them: beginning one,
 * its context, its cancel hook and its memory; and thenables, which are calls
 * that the library begins.
 */
#include "call.h"

#include <string.h>

/* The open call of a context in this thread, or NULL when it is over. */
static struct avow__call *call_mine(const void *context, avow_loop **loop,
				    const char *function)
{
	const struct avow__seat *seat =
		&avow__seats[avow__context_seat(context)];
	const void *owner = __atomic_load_n(&seat->owner, __ATOMIC_ACQUIRE);
	if (!owner || avow__context_generation(context) == 0)
		return NULL;
	CHECK(owner == avow__self(), NULL,
	      "%s from another thread than the loop's", function);
	*loop = seat->loop;
	struct avow__call *call = avow__table_find((*loop)->table, context);
	const uint32_t generation = avow__context_generation(context);
	return call && avow__call_is_open(call, generation) ? call : NULL;
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
	struct avow__call *call = avow__call_open(loop, begun.promise, name);
	if (UNLIKELY(!call)) {
		begun.is_open = false;
		avow__resolve_root(loop, begun.promise,
				   avow_errno(ENOMEM));
		return begun;
	}
	begun.context = avow__context_pack(loop, call);
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
	if (avow__call_claim(open, avow__context_generation(call.context)))
		avow__call_settle(loop, open, error);
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
		p->word & CALL ? p->call : avow__call_open(loop, p, NULL);
	if (call)
		return avow__context_pack(loop, call);
	avow__resolve_root(loop, p, avow_errno(ENOMEM));
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
	struct avow__call *call = avow__call_open(loop, p, thenable.type->name);
	if (!call) {
		avow__settle(loop, p, avow_errno(ENOMEM),
			     AVOW_REJECTED, NULL);
		return;
	}
	void *const context = avow__context_pack(loop, call);
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
