/*
 * SPDX-License-Identifier: MIT
 *
 * libev.c - the driver for libev: the microtask checkpoint, the hand-over to
 * the next iteration, the bell for other threads, and avow_wait().
 *
 * The checkpoint is a watcher that is never started.  Fed at the highest
 * priority from inside any callback, it runs right after that callback and
 * before the next pending watcher.  (libev >= 4.15; a feed costs some 5 ns,
 * where an idle watcher or a timer costs 250.)
 *
 * Nothing here keeps ev_run() alive but work: hand-overs, immediates, timers
 * and calls that other threads have promised to settle.
 */
#include "libev.h"

#include "settler.h"

#include <string.h>

/* One avow_wait() on the stack. */
struct ev_wait {
	const avow_promise *promise;
	unsigned depth;		/* ev_depth() inside its ev_run() */
	struct ev_wait *outer;	/* of this loop */
	const struct ev_loop *ev;
	struct ev_wait *before;	/* of this thread, any loop */
};

/* All waits on the stack.  Several promise loops may share an event loop. */
static __thread struct ev_wait *ev_waits;

struct ev_binding {
	avow_loop loop;		/* first: a loop is its binding */
	struct ev_loop *ev;	/* NULL once it was destroyed */
	ev_idle feed;		/* never started: the checkpoint */
	ev_idle turn;		/* avow_immediate(): the next iteration */
	ev_check rest;		/* jobs handed over: the next iteration as
				   well, whatever else is pending there, while
				   `turn` keeps libev from sleeping */
	ev_prepare prepare;	/* while waits or leftovers need a look */
	ev_async bell;
	ev_cleanup cleanup;
	struct ev_wait *wait;	/* innermost */
	bool is_listening;
};

static struct ev_binding *binding_of(const avow_loop *loop)
{
	return (struct ev_binding *)(uintptr_t)loop;
}

/* Is the outermost ev_run() that of a wait?  Then the program's own handles are
 * one further out.  Bounded by the nesting of waits. */
static bool ev_is_waited(const struct ev_loop *ev)
{
	for (const struct ev_wait *wait = ev_waits; wait; wait = wait->before) {
		if (wait->ev == ev && wait->depth == 1)
			return true;
	}
	return false;
}

static unsigned ev_driver_depth(const avow_loop *loop)
{
	const struct ev_binding *binding = binding_of(loop);
	if (!binding->ev)
		return DEPTH_BASE;
	const unsigned depth =
		ev_depth(binding->ev) + ev_is_waited(binding->ev);
	return depth > DEPTH_BASE ? depth : DEPTH_BASE;
}

/* End the innermost wait if its promise has settled, or nothing will. */
static void ev_wait_look(const struct ev_binding *binding)
{
	const struct ev_wait *wait = binding->wait;
	if (wait && binding->ev && wait->depth == ev_depth(binding->ev) &&
	    (avow__is_settled(wait->promise) ||
	     avow__is_closing(&binding->loop)))
		ev_break(binding->ev, EVBREAK_ONE);
}

/* ----------------------------------------------------------------- Watchers */

/* The program may free the loop in any of these: it is gone after
 * avow__leave(). */

/* Mostly there is more, and stopping and starting would cost. */
static void ev_turn_end(struct ev_loop *ev, struct ev_binding *binding)
{
	const avow_loop *loop = &binding->loop;
	if (!loop->is_handed_over)
		ev_check_stop(ev, &binding->rest);
	if (!loop->is_handed_over && !loop->immediates)
		ev_idle_stop(ev, &binding->turn);
}

static void ev_on_feed(struct ev_loop *ev, ev_idle *watcher, int events)
{
	avow_loop *loop = watcher->data;
	(void)ev;
	(void)events;
	if (LIKELY(!loop->nesting)) {
		avow__drain(loop, ev_driver_depth(loop));
		return;
	}
	avow__enter(loop);
	avow__drain(loop, ev_driver_depth(loop));
	ev_wait_look(binding_of(loop));
	avow__leave(loop);
}

static void ev_turn(struct ev_loop *ev, avow_loop *loop)
{
	avow__enter(loop);
	avow__turn(loop, ev_driver_depth(loop));
	ev_wait_look(binding_of(loop));
	ev_turn_end(ev, binding_of(loop));
	avow__leave(loop);
}

static void ev_on_turn(struct ev_loop *ev, ev_idle *watcher, int events)
{
	avow_loop *loop = watcher->data;
	(void)events;
	if (!ev_is_active(&binding_of(loop)->rest))
		ev_turn(ev, loop);
}

static void ev_on_rest(struct ev_loop *ev, ev_check *watcher, int events)
{
	(void)events;
	ev_turn(ev, watcher->data);
}

static void ev_on_bell(struct ev_loop *ev, ev_async *watcher, int events)
{
	(void)ev;
	(void)events;
	avow__mail(watcher->data);
}

static void ev_prepare_end(struct ev_binding *binding)
{
	if (binding->ev && ev_is_active(&binding->prepare)) {
		ev_ref(binding->ev);
		ev_prepare_stop(binding->ev, &binding->prepare);
	}
}

static void ev_prepare_begin(struct ev_binding *binding)
{
	if (binding->ev && !ev_is_active(&binding->prepare)) {
		ev_prepare_start(binding->ev, &binding->prepare);
		ev_unref(binding->ev);
	}
}

/*
 * Before libev sleeps: no callback of this depth is on the stack.  End a wait
 * whose promise has settled, and reap what nested loops left behind.
 */
static void ev_on_prepare(struct ev_loop *ev, ev_prepare *watcher, int events)
{
	struct ev_binding *binding = watcher->data;
	avow_loop *loop = &binding->loop;
	const unsigned depth = ev_driver_depth(loop);
	(void)ev;
	(void)events;
	if (!binding->wait && depth == DEPTH_BASE)
		ev_prepare_end(binding);
	avow__enter(loop);
	if (loop->parked_top >= depth)
		avow__drain(loop, depth);
	ev_wait_look(binding);
	avow__leave(loop);
}

static void ev_on_cleanup(struct ev_loop *ev, ev_cleanup *watcher, int events)
{
	struct ev_binding *binding = watcher->data;
	(void)ev;
	(void)events;
	avow__seat_lock(&binding->loop);
	binding->ev = NULL;
	avow__seat_unlock(&binding->loop);
}

/* ------------------------------------------------------------------- Driver */

static void ev_driver_wake(avow_loop *loop)
{
	struct ev_binding *binding = binding_of(loop);
	if (LIKELY(binding->ev))
		ev_feed_event(binding->ev, &binding->feed, EV_CUSTOM);
}

static void ev_driver_turn(avow_loop *loop)
{
	struct ev_binding *binding = binding_of(loop);
	if (!binding->ev)
		return;
	ev_idle_start(binding->ev, &binding->turn);
	if (loop->is_handed_over)
		ev_check_start(binding->ev, &binding->rest);
}

static void ev_driver_look_again(avow_loop *loop)
{
	ev_prepare_begin(binding_of(loop));
}

static void ev_driver_ring(avow_loop *loop)
{
	struct ev_binding *binding = binding_of(loop);
	if (binding->ev)
		ev_async_send(binding->ev, &binding->bell);
}

static void ev_driver_listen(avow_loop *loop)
{
	struct ev_binding *binding = binding_of(loop);
	if (binding->ev) {
		ev_async_start(binding->ev, &binding->bell);
		ev_unref(binding->ev);
		binding->is_listening = true;
	}
}

static void ev_driver_keep_alive(avow_loop *loop, bool on)
{
	struct ev_binding *binding = binding_of(loop);
	if (!binding->ev)
		return;
	if (on)
		ev_ref(binding->ev);
	else
		ev_unref(binding->ev);
}

static void ev_driver_close(avow_loop *loop)
{
	struct ev_binding *binding = binding_of(loop);
	struct ev_loop *ev = binding->ev;
	if (!ev)
		return;
	ev_clear_pending(ev, &binding->feed);
	ev_check_stop(ev, &binding->rest);
	ev_idle_stop(ev, &binding->turn);
	ev_prepare_end(binding);
	if (binding->is_listening) {
		ev_ref(ev);
		ev_async_stop(ev, &binding->bell);
	}
	ev_cleanup_stop(ev, &binding->cleanup);
}

static void ev_driver_free(avow_loop *loop)
{
	avow__free(binding_of(loop));
}

static const struct avow__driver ev_driver = {
	.wake = ev_driver_wake,
	.turn = ev_driver_turn,
	.look_again = ev_driver_look_again,
	.depth = ev_driver_depth,
	.ring = ev_driver_ring,
	.listen = ev_driver_listen,
	.keep_alive = ev_driver_keep_alive,
	.close = ev_driver_close,
	.free = ev_driver_free,
};

avow_loop *avow_loop_new(struct ev_loop *ev)
{
	CHECK(ev, NULL, "avow_loop_new(NULL)");
	struct ev_binding *binding = avow__alloc(sizeof(*binding));
	if (!binding)
		return NULL;
	memset(binding, 0, sizeof(*binding));
	binding->ev = ev;
	ev_idle_init(&binding->feed, ev_on_feed);
	ev_set_priority(&binding->feed, EV_MAXPRI);
	ev_idle_init(&binding->turn, ev_on_turn);
	ev_set_priority(&binding->turn, EV_MAXPRI);
	ev_check_init(&binding->rest, ev_on_rest);
	ev_set_priority(&binding->rest, EV_MAXPRI);
	/* After those of the program, which may settle what is waited for. */
	ev_prepare_init(&binding->prepare, ev_on_prepare);
	ev_set_priority(&binding->prepare, EV_MINPRI);
	ev_async_init(&binding->bell, ev_on_bell);
	ev_cleanup_init(&binding->cleanup, ev_on_cleanup);
	binding->feed.data = binding->turn.data = binding->rest.data =
		binding->bell.data = &binding->loop;
	binding->prepare.data = binding->cleanup.data = binding;
	if (!avow__loop_open(&binding->loop, &ev_driver)) {
		avow__free(binding);
		return NULL;
	}
	ev_cleanup_start(ev, &binding->cleanup);
	return &binding->loop;
}

struct ev_loop *avow_loop_ev(const avow_loop *loop)
{
	CHECK(loop, NULL, "avow_loop_ev() with a NULL loop");
	return binding_of(loop)->ev;
}

/* -------------------------------------------------------------------- Wait */

/* Run the loop for one wait; true when watchers remained active at its end. */
static bool ev_wait_run(struct ev_binding *binding, const avow_promise *p)
{
	avow_loop *loop = &binding->loop;
	struct ev_loop *ev = binding->ev;
	const bool is_outermost = ev_depth(ev) == 0;
	struct ev_wait wait = { p, ev_depth(ev) + 1, binding->wait, ev,
				ev_waits };

	binding->wait = &wait;
	ev_waits = &wait;
	loop->nesting++;
	avow__slabs_hide(loop);
	ev_prepare_begin(binding);
	const bool is_active = ev_run(ev, 0);
	loop->nesting--;
	ev_waits = wait.before;
	binding->wait = wait.outer;
	if (is_outermost)
		avow__depth_set(loop, DEPTH_BASE);
	else
		avow__slabs_hide(loop);
	return is_active;
}

avow_value avow_wait(avow_promise *p)
{
	avow_loop *loop = avow__entry(p, "avow_wait()");
	struct ev_binding *binding = binding_of(loop);
	p->word |= HANDLED;
	if (avow__is_settled(p))
		return avow_value_of(p);
	if (avow__is_closing(loop))
		return avow__core_error(AVOW_EABANDONED);
	if (!binding->ev)
		return avow__core_error(AVOW_EDEADLOCK);
	if (loop->nesting >= loop->nesting_max)
		return avow__core_error(AVOW_ENESTING);

	avow__enter(loop);
	const bool was = avow__call_begin(loop);
	p->uses++;
	const bool is_active = ev_wait_run(binding, p);
	avow_value value;
	if (avow__is_closing(loop))
		value = avow__core_error(AVOW_EABANDONED);
	else if (avow__is_settled(p))
		value = avow_value_of(p);
	else
		value = avow__core_error(is_active ? AVOW_EINTERRUPTED :
						     AVOW_EDEADLOCK);
	avow__unuse_in_call(loop, p);
	avow__call_end(loop, was);
	avow__leave(loop);
	return value;
}
