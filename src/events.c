/*
 * SPDX-License-Identifier: MIT
 *
 * events.c - events one after the other: an iterator keeps those that come
 * between two requests, up to a limit, and requests wait in a queue.
 *
 * At most one of the two is in use: an event goes to the first request, and a
 * request to the oldest event.
 */
#include "emitter.h"

#include <stdint.h>

struct request {
	struct avow__task task;
	struct avow_events *events; /* NULL: in no queue */
	struct request *next, *back;
};

struct avow_events {
	size_t uses;	 /* the owner, and frames of ours on the stack */
	avow_loop *loop; /* NULL once it has ended */
	const char *place;
	avow_promise *guard;
	struct avow__entry entry, error;
	struct avow__tie *tie;
	avow_signal *signal;
	struct request *first, *last;
	avow_value why;	    /* an error: no event will come */
	bool is_overrun;    /* and the next request is told why */
	bool is_of_errors;  /* it gives them as data */
	unsigned char full; /* AVOW_DROP_OLDEST, ... */
	size_t lost;
	size_t limit, count, oldest;
	avow_value kept[];
};

typedef char request_fits[sizeof(struct request) <= NODE_SIZE ? 1 : -1];

/* ---------------------------------------------------------------- Requests */

static void request_leave(struct request *request)
{
	struct avow_events *const events = request->events;
	if (!events)
		return;
	request->events = NULL;
	*(request->back ? &request->back->next : &events->first) =
		request->next;
	*(request->next ? &request->next->back : &events->last) = request->back;
}

static void request_end(struct avow__task *task, bool is_cancelled)
{
	(void)is_cancelled;
	request_leave((struct request *)task);
}

static void request_join(struct request *request, struct avow_events *events)
{
	request->events = events;
	request->back = events->last;
	*(events->last ? &events->last->next : &events->first) = request;
	events->last = request;
}

/* ------------------------------------------------------------------ Buffer */

static void events_push(struct avow_events *events, avow_value kept)
{
	const size_t at = events->oldest + events->count++;
	events->kept[at < events->limit ? at : at - events->limit] = kept;
}

static avow_value events_pop(struct avow_events *events)
{
	const avow_value kept = events->kept[events->oldest++];
	if (events->oldest == events->limit)
		events->oldest = 0;
	events->count--;
	return kept;
}

/* -------------------------------------------------------------------- Ends */

static void events_unuse(struct avow_events *events)
{
	if (--events->uses > 0)
		return;
	avow__value_drop(events->why);
	avow__free(events);
}

/* No more events; `why` is a plain code, or an error that copies by itself. */
static void events_stop(struct avow_events *events, avow_value why)
{
	struct avow__tie *const tie = events->tie;
	if (events->why.type) {
		avow__value_drop(why);
		return;
	}
	events->why = why;
	events->tie = NULL;
	avow__entry_leave(&events->entry);
	avow__entry_leave(&events->error);
	avow__tie_cut(tie);
	while (events->first)
		avow__task_settle(&events->first->task, avow_copy(events->why));
}

/* The same, and nobody wants what is kept. */
static void events_end(struct avow_events *events, avow_value why)
{
	events->uses++;
	events_stop(events, why);
	events->is_overrun = false;
	while (events->count)
		avow__kept_drop(events->loop, events_pop(events));
	events_unuse(events);
}

static void events_on_loop_end(void *arg)
{
	struct avow_events *const events = arg;
	events->uses++;
	events->guard = NULL;
	events_end(events, avow__core_error(AVOW_EABANDONED));
	events->loop = NULL;
	events_unuse(events);
}

static void events_on_signal(void *arg)
{
	struct avow_events *const events = arg;
	events->tie = NULL;
	events_end(events,
		   avow_signal_is_aborted(events->signal)
			   ? avow_copy(avow_signal_reason(events->signal))
			   : avow__core_error(AVOW_EABANDONED));
}

/* ------------------------------------------------------------------ Events */

/* There is no room: what is to be dropped instead, or none where it ended. */
static void events_overrun(struct avow_events *events, avow_value kept)
{
	events->lost++;
	if (events->full == AVOW_DROP_OLDEST) {
		const avow_value oldest = events_pop(events);
		events_push(events, kept);
		kept = oldest;
	} else if (events->full == AVOW_FAIL) {
		events->is_overrun = true;
		events_stop(events, avow__core_error(AVOW_ECLOSED));
	}
	avow__kept_drop(events->loop, kept);
}

static void events_take(struct avow_events *events, avow_value kept)
{
	if (events->why.type)
		avow__kept_drop(events->loop, kept);
	else if (events->first)
		avow__kept_give(&events->first->task, kept);
	else if (events->count < events->limit)
		events_push(events, kept);
	else
		events_overrun(events, kept);
}

static void events_call(struct avow__entry *entry, struct avow__emit *emit)
{
	struct avow_events *const events = entry->whose;
	events->uses++; /* an error is copied by the program's code */
	events_take(events, events->is_of_errors ? avow__emit_error(emit)
						 : avow__emit_keep(emit));
	events_unuse(events);
}

static void events_close(struct avow__entry *entry, avow_value reason)
{
	events_stop(entry->whose, reason);
}

static const struct avow__entry_kind events_kind = { events_call,
						     events_close };

/* ---------------------------------------------------- As the program has it */

static bool events_join(struct avow_events *events, avow_emitter *emitter,
			const avow_events_options *options)
{
	events->entry.kind = events->error.kind = &events_kind;
	events->entry.whose = events->error.whose = events;
	events->is_of_errors = avow__is_error_event(options->name);
	if (!avow__entry_join(&events->entry, emitter, options->name, false) ||
	    (!events->is_of_errors &&
	     !avow__entry_join(&events->error, emitter, "error", false)))
		return false;
	if (!options->signal)
		return true;
	events->signal = options->signal;
	if (avow_signal_is_aborted(events->signal)) {
		events_on_signal(events);
		return true;
	}
	events->tie = avow__tie_new(events->place, events->loop,
				    options->signal, events_on_signal, events);
	return events->tie;
}

avow_events *avow_events_new_at(const char *place, avow_emitter *emitter,
				const avow_events_options *options)
{
	CHECK(emitter, place, "avow_events_new() with a NULL emitter");
	CHECK(options->name, place, "avow_events_new() with a NULL name");
	CHECK(options->full >= AVOW_DROP_OLDEST && options->full <= AVOW_FAIL,
	      place, "avow_events_new() with a .full of %d", options->full);
	avow_loop *const loop = avow__loop_or_ending(emitter->loop);
	CHECK(loop, place, "avow_events_new() after the loop was freed");
	avow__loop_entry(loop, "avow_events_new()");
	const size_t limit = options->limit ? options->limit : 16;
	struct avow_events *events = NULL;
	if (limit < (SIZE_MAX - sizeof(*events)) / sizeof(avow_value))
		events = avow__alloc(sizeof(*events) +
				     limit * sizeof(avow_value));
	if (!events)
		return NULL;
	memset(events, 0, sizeof(*events));
	events->uses = 1;
	events->loop = loop;
	events->place = place;
	events->limit = limit;
	events->full = (unsigned char)options->full;
	events->guard = avow__guard_open(loop, events_on_loop_end, events);
	if (events->guard && events_join(events, emitter, options))
		return events;
	avow_events_free(events);
	return NULL;
}

avow_events *(avow_events_new)(avow_emitter *emitter, const char *name)
{
	return avow_events_new_at(NULL, emitter,
				  &(avow_events_options){ .name = name });
}

void avow_events_free(avow_events *events)
{
	avow_loop *const loop = events ? events->loop : NULL;
	if (!loop) {
		if (events)
			events_unuse(events);
		return;
	}
	avow__loop_entry(loop, "avow_events_free()");
	avow__enter(loop);
	if (events->guard)
		avow__guard_close(loop, events->guard);
	events->guard = NULL;
	events_end(events, avow__core_error(AVOW_ECLOSED));
	events_unuse(events);
	avow__leave(loop);
}

/* Why there is nothing for a request. */
static avow_value events_reason(const char *place, struct avow_events *events)
{
	if (!events->is_overrun)
		return avow_copy(events->why);
	events->is_overrun = false;
	return avow_error_at(place, &avow_errno_domain, ENOBUFS,
			     "more than %zu events were waiting",
			     events->limit);
}

avow_promise *avow_events_next_at(const char *place, avow_events *events)
{
	avow_promise *result;
	CHECK(events, place, "avow_events_next() with a NULL iterator");
	avow_loop *const loop = avow__loop_or_ending(events->loop);
	CHECK(loop, place, "avow_events_next() after the loop was freed");
	struct request *const request =
		avow__task_open(loop, place, "avow_events_next()",
				sizeof(*request), request_end, &result);
	if (!request)
		return result;
	if (events->count)
		avow__kept_give(&request->task, events_pop(events));
	else if (events->why.type)
		avow__task_settle(&request->task,
				  events_reason(events->place, events));
	else
		request_join(request, events);
	return result;
}

avow_promise *(avow_events_next)(avow_events *events)
{
	return avow_events_next_at(NULL, events);
}

size_t avow_events_lost(const avow_events *events)
{
	CHECK(events, NULL, "avow_events_lost() with a NULL iterator");
	return events->lost;
}
