/*
 * SPDX-License-Identifier: MIT
 *
 * libev.c - the driver for libev: the microtask checkpoint, the hand-over to the
 * next iteration, the bell for other threads, and avow_wait().
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
	struct ev_wait *outer;
};

struct ev_binding {
	avow_loop loop;		/* first: a loop is its binding */
	struct ev_loop *ev;	/* NULL once it was destroyed */
	ev_idle feed;		/* never started: the checkpoint */
	ev_idle turn;		/* runs once in the next iteration */
	ev_prepare prepare;	/* while waits or leftovers need a look */
	ev_async bell;
	ev_cleanup cleanup;
	struct ev_wait *wait;	/* innermost */
	unsigned shift;		/* 1 while the outermost ev_run() is a wait's:
				   the program's own handles are further out */
	bool is_listening;
};

static struct ev_binding *binding_of(const avow_loop *loop)
{
	return (struct ev_binding *)(uintptr_t)loop;
}

static unsigned ev_driver_depth(const avow_loop *loop)
{
	const struct ev_binding *binding = binding_of(loop);
	const unsigned depth =
		binding->ev ? ev_depth(binding->ev) + binding->shift : 0;
	return depth > DEPTH_BASE ? depth : DEPTH_BASE;
}

/* ----------------------------------------------------------------- Watchers */

/* After each of these the loop may be gone: the program frees it in jobs. */

static void ev_on_feed(struct ev_loop *ev, ev_idle *watcher, int events)
{
	avow_loop *loop = watcher->data;
	(void)ev;
	(void)events;
	avow__drain(loop, ev_driver_depth(loop));
}

static void ev_on_turn(struct ev_loop *ev, ev_idle *watcher, int events)
{
	avow_loop *loop = watcher->data;
	(void)events;
	avow__enter(loop);
	avow__turn(loop, ev_driver_depth(loop));
	/* Mostly there is more, and stopping and starting would cost. */
	if (!loop->immediates && !loop->is_handed_over)
		ev_idle_stop(ev, watcher);
	avow__leave(loop);
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
	const struct ev_wait *wait = binding->wait;
	(void)events;
	if (wait && wait->depth == ev_depth(ev) &&
	    (avow__is_settled(wait->promise) || avow__is_closing(loop)))
		ev_break(ev, EVBREAK_ONE);
	if (!wait && depth == DEPTH_BASE)
		ev_prepare_end(binding);
	if (loop->parked_top >= depth)
		avow__drain(loop, depth);
}

static void ev_on_cleanup(struct ev_loop *ev, ev_cleanup *watcher, int events)
{
	struct ev_binding *binding = watcher->data;
	(void)ev;
	(void)events;
	binding->ev = NULL;
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
	if (binding->ev)
		ev_idle_start(binding->ev, &binding->turn);
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
	ev_prepare_init(&binding->prepare, ev_on_prepare);
	ev_async_init(&binding->bell, ev_on_bell);
	ev_cleanup_init(&binding->cleanup, ev_on_cleanup);
	binding->feed.data = binding->turn.data = binding->bell.data =
		&binding->loop;
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
	return binding_of(loop)->ev;
}

/* -------------------------------------------------------------------- Wait */

/* Run the loop for one wait; true when watchers remained active at its end. */
static bool ev_wait_run(struct ev_binding *binding, const avow_promise *p)
{
	avow_loop *loop = &binding->loop;
	struct ev_loop *ev = binding->ev;
	const bool is_outermost = ev_depth(ev) == 0;
	struct ev_wait wait = { p, ev_depth(ev) + 1, binding->wait };

	binding->wait = &wait;
	binding->shift += is_outermost;
	loop->nesting++;
	avow__slabs_hide(loop);
	ev_prepare_begin(binding);
	const bool is_active = ev_run(ev, 0);
	loop->nesting--;
	binding->shift -= is_outermost;
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
