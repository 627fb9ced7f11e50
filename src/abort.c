/*
 * SPDX-License-Identifier: MIT
 *
 * abort.c - abort signals: a list of listeners, and a reason once it fired.
 *
 * A listener lies in memory of whoever listens, so that leaving takes two
 * stores.  It counts as a use of its signal; the signal goes with its last use,
 * and never before a listener of its.  Listeners are promises, which cannot
 * outlive the loop, and signals of several, which can; so nothing here touches
 * the loop unless a promise listens: controllers and held signals may be freed,
 * and aborted, after their loop.
 *
 * Signals of signals may stand on each other to any depth.  Aborting and
 * freeing go down and up there in loops.
 */
#include "task.h"

#include <math.h>
#include <string.h>

/* `fn` is called once, with the listener off the list; NULL for a signal of
 * several, which `whose` is then. */
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
	avow_signal *below;   /* on the stack of those that are aborted, or on
				 the list of those that are freed */
	/* Signals that need no controller: */
	struct listener *sources;
	size_t source_count;
	avow_promise *timer; /* as long as it knows of this signal */
};

struct avow_abort {
	avow_signal signal;
};

/* Where there was no memory for one, or where the loop is being freed: for all
 * loops and threads, never listened to, never changed. */
static avow_signal signal_no_memory = {
	.reason = { { .i64 = ENOMEM }, &avow_errno_domain.type },
};
static avow_signal signal_no_loop = {
	.reason = { { .i64 = AVOW_EABANDONED }, &avow_core_domain.type },
};

static bool signal_is_static(const avow_signal *signal)
{
	return signal == &signal_no_memory || signal == &signal_no_loop;
}

static avow_signal *signal_static(const avow_loop *loop)
{
	return avow__is_closing(loop) ? &signal_no_loop : &signal_no_memory;
}

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

/* Off its list; returns the signal, of which one use is to be ended. */
static avow_signal *listener_unlink(struct listener *listener)
{
	avow_signal *const signal = listener->signal;
	if (!signal)
		return NULL;
	listener->signal = NULL;
	listener->back->next = listener->next;
	listener->next->back = listener->back;
	return signal;
}

static void listener_leave(struct listener *listener)
{
	avow_signal_release(listener_unlink(listener));
}

/* Its last use has ended, and none of its sources is needed any more. */
static void signal_free(avow_signal *signal)
{
	const avow_value reason = signal->reason;
	avow__free(signal);
	avow__value_drop(reason); /* the program's code */
}

/*
 * End one use of each source.  Those that nobody else uses go onto `list`, but
 * for the ones with a timer: its end frees them, which may come later, if its
 * handler is on the stack.  Nothing of the program's runs here.
 */
static avow_signal *signal_leave_sources(avow_signal *signal, avow_signal *list)
{
	for (size_t i = 0; i < signal->source_count; i++) {
		avow_signal *const source =
			listener_unlink(&signal->sources[i]);
		if (!source || --source->uses > 0)
			continue;
		if (source->timer) {
			avow_cancel(source->timer);
		} else {
			source->below = list;
			list = source;
		}
	}
	if (signal->sources)
		avow__free(signal->sources);
	signal->sources = NULL;
	signal->source_count = 0;
	return list;
}

/* Free all on the list, and what that leaves without a use. */
static void signal_free_all(avow_signal *list)
{
	avow_signal *unused = NULL;
	while (list) {
		avow_signal *const signal = list;
		list = signal_leave_sources(signal, signal->below);
		signal->below = unused;
		unused = signal;
	}
	while (unused) {
		avow_signal *const signal = unused;
		unused = signal->below;
		signal_free(signal);
	}
}

void avow_signal_hold(avow_signal *signal)
{
	if (signal && !signal_is_static(signal))
		signal->uses++;
}

void avow_signal_release(avow_signal *signal)
{
	if (!signal || signal_is_static(signal))
		return;
	CHECK(signal->uses > 0, NULL, "signal released more often than held");
	if (--signal->uses > 0)
		return;
	if (signal->timer) {
		avow_cancel(signal->timer);
	} else {
		signal->below = NULL;
		signal_free_all(signal);
	}
}

/* ---------------------------------------------------------------- Aborting */

/* An error that can be copied without the program's code. */
static avow_value signal_error(avow_value reason)
{
	if (!reason.type)
		return avow__core_error(AVOW_ECANCELLED);
	CHECK(reason.type != &avow_promise_type, NULL,
	      "aborted with a promise as reason");
	if (!avow__value_is_error(reason))
		return avow__reason(NULL, reason);
	if (reason.type->drop && reason.type != &avow_error_type)
		return avow_wrap_at(NULL, reason, "%s", avow_message(reason));
	return reason;
}

/* Onto the stack, unless it has aborted before. */
static avow_signal *signal_push(avow_signal *signal, avow_value error,
				avow_signal *stack)
{
	if (signal->reason.type) {
		avow__value_drop(error);
		return stack;
	}
	signal->reason = error;
	signal->uses++; /* a listener may free the controller */
	signal->below = stack;
	return signal;
}

/* It has told all: it wants no sources any more. */
static avow_signal *signal_pop(avow_signal *signal)
{
	avow_signal *const below = signal->below;
	signal_free_all(signal_leave_sources(signal, NULL));
	avow_signal_release(signal);
	return below;
}

/* Tell one promise.  The first enters the loop, which is to be there until all
 * have been told. */
static void signal_tell(avow_signal *signal, struct listener *listener,
			avow_loop **entered)
{
	if (!*entered) {
		*entered = signal->loop;
		CHECK(signal->loop->thread == avow__self(), NULL,
		      "aborting from another thread than the loop's");
		avow__enter(signal->loop);
	}
	listener->fn(listener, avow_copy(signal->reason));
}

/* Ends: a signal that has aborted gets no more listeners.  All on the stack are
 * of one loop. */
static void signal_fire(avow_signal *signal, avow_value error)
{
	avow_loop *entered = NULL;
	avow_signal *stack = signal_push(signal, error, NULL);
	while (stack) {
		avow_signal *const top = stack;
		struct listener *const listener = top->list.next;
		if (listener == &top->list) {
			stack = signal_pop(top);
			continue;
		}
		(void)listener_unlink(listener);
		top->uses--; /* never the last: it is on the stack */
		if (listener->fn)
			signal_tell(top, listener, &entered);
		else
			stack = signal_push(listener->whose,
					    avow_copy(top->reason), stack);
	}
	if (entered)
		avow__leave(entered);
}

bool avow_signal_is_aborted(const avow_signal *signal)
{
	return signal && signal->reason.type;
}

avow_value avow_signal_reason(const avow_signal *signal)
{
	if (!signal)
		return avow__none;
	avow__lend(signal->reason);
	return signal->reason;
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
	avow_signal *const signal = &controller->signal;
	signal->uses++; /* the text of the reason may be the program's */
	signal_fire(signal, signal_error(reason));
	avow_signal_release(signal);
}

/* -------------------------------------------------- Signals by themselves */

static void signal_drop(void *signal)
{
	avow_signal_release(signal);
}

static const avow_type signal_type = { .name = "signal", .drop = signal_drop };

/* Good until this callback returns: that is what parked promises are. */
static avow_signal *signal_lend(avow_signal *signal)
{
	avow_loop *const loop = signal->loop;
	signal->uses++;
	(void)avow_resolved_at(NULL, loop, avow_own(signal, &signal_type));
	const bool is_lent = signal->uses > 1;
	avow_signal_release(signal);
	return is_lent ? signal : signal_static(loop);
}

static void signal_check(const avow_loop *loop, const avow_signal *signal,
			 const char *call)
{
	CHECK(signal, NULL, "%s with a NULL signal", call);
	CHECK(signal_is_static(signal) || signal->loop == loop, NULL,
	      "%s with a signal of another loop", call);
}

static void signal_listen(avow_signal *signal, avow_signal *const *list,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		signal_check(signal->loop, list[i], "avow_signal_any()");
		if (avow_signal_is_aborted(list[i])) {
			signal_fire(signal, avow_copy(list[i]->reason));
			return;
		}
		signal->sources[i] = (struct listener){ .whose = signal };
		listener_join(&signal->sources[i], list[i]);
		signal->source_count = i + 1;
	}
}

avow_signal *avow_signal_any(avow_loop *loop, avow_signal *const *list,
			     size_t count)
{
	avow__loop_entry(loop, "avow_signal_any()");
	avow_signal *const signal = signal_new(loop);
	if (!signal)
		return signal_static(loop);
	if (!list && count) {
		signal_fire(signal, avow_error_at(NULL, &avow_core_domain,
						  AVOW_EINVALID,
						  "a signal of a NULL list of "
						  "%zu",
						  count));
		return signal_lend(signal);
	}
	if (count < SIZE_MAX / sizeof(*signal->sources))
		signal->sources =
			avow__alloc(count * sizeof(*signal->sources) + 1);
	if (!signal->sources) {
		avow_signal_release(signal);
		return signal_static(loop);
	}
	signal_listen(signal, list, count);
	return signal_lend(signal);
}

static avow_value signal_on_timer(avow_value value, void *arg)
{
	if (!avow__value_is_error(value))
		value = avow__core_error(AVOW_ETIMEOUT);
	else if (avow_error_is(value, &avow_core_domain, AVOW_EABANDONED))
		return avow_none(); /* the loop is being freed */
	signal_fire(arg, avow_copy(value));
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
		return signal_static(loop);
	if (!isfinite(seconds) || seconds < 0) {
		signal_fire(signal, avow_error_at(NULL, &avow_core_domain,
						  AVOW_EINVALID,
						  "a signal after %g seconds",
						  seconds));
		return signal_lend(signal);
	}
	avow_promise *const delay = avow_delay_at(NULL, loop, seconds);
	if (avow__is_settled(delay)) {
		delay->word |= HANDLED;
		signal_fire(signal, avow_copy(avow__owner(delay)->value));
		return signal_lend(signal);
	}
	avow_promise *const timer =
		avow_on_at(NULL, delay,
			   &(const avow_handlers){ .fulfilled = signal_on_timer,
						   .rejected = signal_on_timer,
						   .arg = signal,
						   .drop = signal_timer_end });
	avow__drops_at_once(timer);
	if (avow__is_settled(timer)) {
		avow_cancel(delay);
		signal_fire(signal, avow_errno(ENOMEM));
	} else {
		signal->timer = timer;
	}
	return signal_lend(signal);
}

/* ---------------------------------------------------------------- Listening */

struct signal_wait {
	struct avow__task task;
	struct listener *listener;
};

static struct listener *listener_new(avow_loop *loop)
{
	struct listener *const listener = avow__node_alloc(loop);
	if (listener)
		*listener = (struct listener){ .word = RAW };
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
	struct signal_wait *const wait =
		avow__task_open(loop, place, "avow_signal_promise()",
				sizeof(*wait), signal_wait_end, &result);
	signal_check(loop, signal, "avow_signal_promise()");
	if (!wait)
		return result;
	if (avow_signal_is_aborted(signal)) {
		avow__task_settle(&wait->task, avow_copy(signal->reason));
		return result;
	}
	wait->listener = listener_new(loop);
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
	signal_check(loop, signal, "avow_abortable()");
	struct listener *const listener = listener_new(loop);
	if (!listener)
		return loop->immortal;
	avow_promise *const w =
		avow_on_at(place, p,
			   &(const avow_handlers){ .arg = listener,
						   .drop = listener_free });
	avow__drops_at_once(w);
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

avow_promise *avow__task_abortable(const char *place, avow_promise *result,
				   avow_signal *signal)
{
	avow_loop *const loop = avow__slab_of(result)->loop;
	if (!signal)
		return result;
	avow__enter(loop);
	avow_promise *const w = avow_abortable_at(place, result, signal);
	if (w == loop->immortal)
		avow_cancel(result);
	avow__leave(loop);
	return w;
}
