/*
 * SPDX-License-Identifier: MIT
 *
 * abort.c - abort signals: a list of listeners, and a reason once it fired.
 *
 * A listener lies in memory of whoever listens, so that leaving takes two
 * stores.  It counts as a use of its signal; the signal goes with its last use,
 * and never before a listener of its.  Nothing here touches the loop unless a
 * listener, which cannot outlive it, is there: controllers and held signals may
 * be freed after their loop.
 */
#include "task.h"

#include <math.h>
#include <string.h>

/* `fn` is called once, with the listener off the list. */
struct listener {
	uint32_t word; /* RAW: it may be a node of its own */
	struct listener *next, *back;
	avow_signal *signal; /* NULL: off the list */
	void (*fn)(struct listener *listener, avow_value reason);
	void *whose;
};

struct avow_signal {
	size_t uses;	      /* controller, listeners, holds */
	avow_loop *loop;      /* see above */
	struct listener list; /* the head of the ring */
	avow_value reason;    /* an error, once it has aborted */
	/* Signals that need no controller: */
	struct listener *sources;
	size_t source_count;
	avow_promise *timer; /* as long as it knows of this signal */
};

struct avow_abort {
	avow_signal signal;
};

/* ---------------------------------------------------------------- Lifetime */

static void signal_init(avow_signal *signal, avow_loop *loop)
{
	memset(signal, 0, sizeof(*signal));
	signal->uses = 1;
	signal->loop = loop;
	signal->list.next = signal->list.back = &signal->list;
}

static avow_signal *signal_new(avow_loop *loop)
{
	avow_signal *signal = avow__alloc(sizeof(struct avow_abort));
	if (signal)
		signal_init(signal, loop);
	return signal;
}

static void listener_join(struct listener *listener, avow_signal *signal)
{
	listener->signal = signal;
	listener->next = &signal->list;
	listener->back = signal->list.back;
	listener->back->next = listener;
	signal->list.back = listener;
	signal->uses++;
}

static void listener_leave(struct listener *listener)
{
	avow_signal *const signal = listener->signal;
	if (!signal)
		return;
	listener->signal = NULL;
	listener->back->next = listener->next;
	listener->next->back = listener->back;
	avow_signal_release(signal);
}

static void signal_free(avow_signal *signal)
{
	for (size_t i = 0; i < signal->source_count; i++)
		listener_leave(&signal->sources[i]);
	if (signal->sources)
		avow__free(signal->sources);
	avow__value_drop(signal->reason);
	avow__free(signal);
}

void avow_signal_hold(avow_signal *signal)
{
	if (signal)
		signal->uses++;
}

void avow_signal_release(avow_signal *signal)
{
	if (!signal)
		return;
	CHECK(signal->uses > 0, NULL, "signal released more often than held");
	if (--signal->uses > 0)
		return;
	/* The end of a timer frees it; that may come later, if its handler is
	 * on the stack. */
	if (signal->timer)
		avow_cancel(signal->timer);
	else
		signal_free(signal);
}

/* ---------------------------------------------------------------- Aborting */

/* An error that can be copied without the program's code. */
static avow_value signal_error(avow_value reason)
{
	if (!reason.type)
		return avow__core_error(AVOW_ECANCELLED);
	if (!avow__value_is_error(reason))
		return avow__reason(NULL, reason);
	if (reason.type->drop && reason.type != &avow_error_type)
		return avow_wrap_at(NULL, reason, "%s", avow_message(reason));
	return reason;
}

/* Ends: a signal that has aborted gets no more listeners. */
static void signal_fire(avow_signal *signal, avow_value error)
{
	if (signal->reason.type) {
		avow__value_drop(error);
		return;
	}
	signal->reason = error;
	if (signal->list.next == &signal->list)
		return;
	avow_loop *const loop = signal->loop;
	signal->uses++; /* a listener may free the controller */
	avow__enter(loop);
	while (signal->list.next != &signal->list) {
		struct listener *const listener = signal->list.next;
		listener_leave(listener);
		listener->fn(listener, avow_copy(signal->reason));
	}
	avow_signal_release(signal);
	avow__leave(loop);
}

bool avow_signal_is_aborted(const avow_signal *signal)
{
	return signal && signal->reason.type;
}

avow_value avow_signal_reason(const avow_signal *signal)
{
	return signal ? signal->reason : avow__none;
}

/* ------------------------------------------------------------- Controllers */

avow_abort *avow_abort_new(avow_loop *loop)
{
	avow__loop_entry(loop, "avow_abort_new()");
	return (avow_abort *)signal_new(loop);
}

void avow_abort_free(avow_abort *controller)
{
	if (controller)
		avow_signal_release(&controller->signal);
}

avow_signal *avow_abort_signal(avow_abort *controller)
{
	CHECK(controller, NULL, "avow_abort_signal(NULL)");
	return &controller->signal;
}

void avow_abort_with(avow_abort *controller, avow_value reason)
{
	CHECK(controller, NULL, "avow_abort_with() with a NULL controller");
	avow__given_check(reason);
	signal_fire(&controller->signal, signal_error(reason));
}

/* -------------------------------------------------- Signals by themselves */

static void signal_drop(void *signal)
{
	avow_signal_release(signal);
}

static const avow_type signal_type = { .name = "signal", .drop = signal_drop };

/* Out of memory, and nothing to free: one for all loops, never listened to. */
static avow_signal signal_none = {
	.uses = SIZE_MAX / 2,
	.list = { .next = &signal_none.list, .back = &signal_none.list },
	.reason = { { .i64 = ENOMEM }, &avow_errno_domain.type },
};

/* Good until this callback returns: that is what parked promises are. */
static avow_signal *signal_lend(avow_signal *signal)
{
	signal->uses++;
	(void)avow_resolved_at(NULL, signal->loop,
			       avow_own(signal, &signal_type));
	if (signal->uses == 1) {
		avow_signal_release(signal);
		return &signal_none;
	}
	avow_signal_release(signal);
	return signal;
}

static void signal_on_source(struct listener *listener, avow_value reason)
{
	signal_fire(listener->whose, reason);
}

avow_signal *avow_signal_any(avow_loop *loop, avow_signal *const *list,
			     size_t count)
{
	avow__loop_entry(loop, "avow_signal_any()");
	CHECK(list || !count, NULL, "avow_signal_any() of a NULL list");
	avow_signal *const signal = signal_new(loop);
	struct listener *const sources =
		signal && count < SIZE_MAX / sizeof(*sources)
			? avow__alloc(count * sizeof(*sources) + 1)
			: NULL;
	if (!sources) {
		avow_signal_release(signal);
		return &signal_none;
	}
	signal->sources = sources;
	for (size_t i = 0; i < count; i++) {
		CHECK(list[i], NULL, "avow_signal_any() of a NULL signal");
		if (avow_signal_is_aborted(list[i])) {
			signal_fire(signal, avow_copy(list[i]->reason));
			break;
		}
		sources[i] = (struct listener){ .fn = signal_on_source,
						.whose = signal };
		listener_join(&sources[i], list[i]);
		signal->source_count = i + 1;
	}
	return signal_lend(signal);
}

static avow_value signal_on_timer(avow_value value, void *arg)
{
	if (avow__value_is_error(value))
		return avow_none(); /* the loop is being freed */
	signal_fire(arg, avow__core_error(AVOW_ETIMEOUT));
	return avow_none();
}

static void signal_timer_end(void *arg)
{
	avow_signal *const signal = arg;
	signal->timer = NULL;
	if (!signal->uses)
		signal_free(signal);
}

avow_signal *avow_signal_timeout(avow_loop *loop, double seconds)
{
	avow__loop_entry(loop, "avow_signal_timeout()");
	avow_signal *const signal = signal_new(loop);
	if (!signal)
		return &signal_none;
	if (!isfinite(seconds) || seconds < 0) {
		signal_fire(signal, avow_error_at(NULL, &avow_core_domain,
						  AVOW_EINVALID,
						  "a signal after %g seconds",
						  seconds));
		return signal_lend(signal);
	}
	avow_promise *const timer =
		avow_on_at(NULL, avow_delay_at(NULL, loop, seconds),
			   &(const avow_handlers){ .fulfilled = signal_on_timer,
						   .rejected = signal_on_timer,
						   .arg = signal,
						   .drop = signal_timer_end });
	if (avow__is_settled(timer))
		signal_fire(signal, avow_errno(ENOMEM));
	else
		signal->timer = timer;
	return signal_lend(signal);
}

/* ---------------------------------------------------------------- Listening */

struct signal_wait {
	struct avow__task task;
	struct listener *listener;
};

static struct listener *listener_new(avow_loop *loop, avow_signal *signal)
{
	struct listener *const listener = avow__node_alloc(loop);
	if (!listener)
		return NULL;
	*listener = (struct listener){ .word = RAW };
	CHECK(signal == &signal_none || signal->loop == loop, NULL,
	      "a signal of another loop");
	return listener;
}

static void listener_free(void *arg)
{
	struct listener *const listener = arg;
	avow_loop *const loop = avow__slab_of(listener)->loop;
	listener_leave(listener);
	avow__raw_free(loop, listener);
}

static void signal_wait_end(struct avow__task *task, bool is_cancelled)
{
	struct signal_wait *const wait = (struct signal_wait *)task;
	(void)is_cancelled;
	if (wait->listener)
		listener_free(wait->listener);
}

static void signal_reject(struct listener *listener, avow_value reason)
{
	avow__task_settle(listener->whose, reason);
}

avow_promise *avow_signal_promise_at(const char *place, avow_loop *loop,
				     avow_signal *signal)
{
	avow_promise *result;
	CHECK(signal, place, "avow_signal_promise() with a NULL signal");
	struct signal_wait *const wait =
		avow__task_open(loop, place, "avow_signal_promise()",
				sizeof(*wait), signal_wait_end, &result);
	if (!wait)
		return result;
	if (avow_signal_is_aborted(signal)) {
		avow__task_settle(&wait->task, avow_copy(signal->reason));
		return result;
	}
	wait->listener = listener_new(loop, signal);
	if (!wait->listener) {
		avow__task_settle(&wait->task, avow_errno(ENOMEM));
		return result;
	}
	wait->listener->fn = signal_reject;
	wait->listener->whose = wait;
	listener_join(wait->listener, signal);
	return result;
}

avow_promise *(avow_signal_promise)(avow_loop *loop, avow_signal *signal)
{
	return avow_signal_promise_at(NULL, loop, signal);
}

static void signal_cancel(struct listener *listener, avow_value reason)
{
	avow_promise *const p = listener->whose;
	avow__cancel_with(avow__slab_of(p)->loop, p, reason);
}

avow_promise *avow_abortable_at(const char *place, avow_promise *p,
				avow_signal *signal)
{
	avow_loop *const loop = avow__entry(p, "avow_abortable()");
	if (!signal)
		return p;
	struct listener *const listener = listener_new(loop, signal);
	if (!listener)
		return loop->immortal;
	avow_promise *const w =
		avow_on_at(place, p,
			   &(const avow_handlers){ .arg = listener,
						   .drop = listener_free });
	if (w->word & IMMORTAL)
		return w;
	if (avow_signal_is_aborted(signal)) {
		avow__cancel_with(loop, w, avow_copy(signal->reason));
		return w;
	}
	listener->fn = signal_cancel;
	listener->whose = w;
	listener_join(listener, signal);
	return w;
}

avow_promise *(avow_abortable)(avow_promise *p, avow_signal *signal)
{
	return avow_abortable_at(NULL, p, signal);
}
