/*
 * SPDX-License-Identifier: MIT
 *
 * avow/emitter.h - things that happen again and again: emitters, the next
 * event as a promise, and events one after the other.
 *
 * Included by avow.h; include that.
 *
 * As EventEmitter in Node.  An event has a name and a value:
 *
 *     avow_emitter *feed = avow_emitter_new(loop);
 *     avow_emitter_on(feed, "line", print, NULL);
 *     avow_emitter_emit(feed, "line", avow_str("hello"));
 *
 * Listeners are plain functions.  They are called by avow_emitter_emit()
 * itself, before it returns; whatever waits for an event by a promise is a
 * reaction like any other, and runs as a job afterwards.
 *
 * The event "error" is special.  Its value is always an error; it rejects what
 * waits for other events of the emitter; and when nobody at all listens to it,
 * it is reported as an unhandled rejection (avow_loop_on_report).
 *
 * Watchers (avow/watch.h) are emitters that work only while listened to.
 */
#ifndef AVOW_EMITTER_H
#define AVOW_EMITTER_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `value` is borrowed until the function returns; avow_take() copies it. */
typedef void avow_event_fn(avow_value value, void *arg);

/*
 * An emitter with no listeners.
 *
 * Ownership   the caller's, until avow_emitter_free().
 * Returns     NULL when out of memory or when the loop is being freed.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_emitter *avow_emitter_new(avow_loop *loop);
/*
 * Give an emitter back, before or after its loop is freed, and from inside of
 * its own listeners too: those that were not called yet are not called any
 * more.  Promises of avow_once() are rejected with AVOW_ECLOSED.  When the loop
 * is freed first, that ends all listeners; emitting does nothing then.  NULL
 * does nothing.
 *
 * Calls back  the drops of the listeners.
 * Since       0.2
 */
AVOW_API void avow_emitter_free(avow_emitter *emitter);

/* What may follow `fn`: avow_emitter_on(e, "data", fn, arg, .once = true). */
typedef struct avow_listener {
	void *arg AVOW_UNSET_;
	bool once AVOW_UNSET_;		 /* gone before it is called */
	bool first AVOW_UNSET_;		 /* in front of those that are there */
	avow_drop_fn *drop AVOW_UNSET_;	 /* ends `arg`; see below */
	avow_signal *signal AVOW_UNSET_; /* gone when it aborts */
} avow_listener;

/*
 * Call `fn(value, arg)` at each event of this name, behind the listeners that
 * are there.  The same function may be added twice, and is then called twice.
 * avow_emitter_once() is the same with `.once`: for the next event alone.
 *
 * Ownership   `name` is copied.  `arg` stays the caller's, unless there is a
 *             `drop`: drop(arg) is called exactly once, when the listener is
 *             gone and no call of it is on the stack, or at once when it could
 *             not be added.
 * Returns     false when it could not be added: out of memory, the emitter was
 *             freed or its loop was, or the signal has aborted.
 * Calls back  `fn` from avow_emitter_emit(), never from here.
 * Since       0.2
 */
AVOW_API bool avow_emitter_on(avow_emitter *emitter, const char *name,
			      avow_event_fn *fn, void *arg);
AVOW_API bool avow_emitter_once(avow_emitter *emitter, const char *name,
				avow_event_fn *fn, void *arg);
/*
 * Take one listener away: of those with this function and argument the last in
 * their order.  Linear in the listeners of the event.
 *
 * Returns     whether there was one.
 * Since       0.2
 */
AVOW_API bool avow_emitter_off(avow_emitter *emitter, const char *name,
			       avow_event_fn *fn, void *arg);
/* How many listen to this event, promises and iterators included.  What waits
 * for another event counts for "error".  Since 0.2 */
AVOW_API size_t avow_emitter_count(const avow_emitter *emitter,
				   const char *name);

/*
 * An event: call the listeners of `name` in their order, before this returns.
 * Those that are added meanwhile are not called by it, and neither are those
 * that are taken away meanwhile and were not called yet.  Listeners may emit
 * again, to any depth.
 *
 * With the name "error" a value that is no error is wrapped in one
 * (AVOW_EREASON), and where nobody listens it becomes an unhandled rejection.
 *
 * Ownership   takes `value`; listeners borrow it.  It must not be avow_await():
 *             an event is there, so that there is nothing to wait for.  (A
 *             thenable is passed on as what it is.)
 * Returns     how many were called: listeners, promises, iterators.
 * Calls back  listeners, and their drops.  They may free the emitter.
 * Since       0.2
 */
AVOW_API size_t avow_emitter_emit(avow_emitter *emitter, const char *name,
				  avow_value value);

/* What may follow the emitter: avow_once(e, "data", .signal = s). */
typedef struct avow_once_options {
	const char *name AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_; /* aborts it; see avow/abort.h */
} avow_once_options;

/*
 * The next event of this name, as a promise: fulfilled with its value (rejected
 * where that is an error), rejected with the error of an event "error" that
 * comes first, and with AVOW_ECLOSED when the emitter is freed.  Waiting for
 * "error" itself fulfils it with the error as data (avow_unreify).
 *
 * Several promises that get one event share its value as branches of one
 * promise would: their handlers borrow it, and avow_take() moves it out for the
 * last that can still read it and copies it through its type for the others,
 * which gives AVOW_ENOTCOPYABLE where the type has no copy.
 *
 * It counts as a listener of both events.  Cancelling stops it, in constant
 * time.
 *
 * Returns     a promise, never NULL; out of memory gives one that is rejected.
 * Since       0.2
 */
AVOW_API avow_promise *avow_once(avow_emitter *emitter, const char *name);


/* -------------------------------------------------- One after the other
 *
 * An iterator keeps the events that come between two looks at it:
 *
 *     avow_events *lines = avow_events_new(feed, "line", .limit = 64);
 *     ...
 *     return avow_await(avow_then(avow_events_next(lines), next_line, lines));
 */

typedef struct avow_events avow_events;

/* What happens to an event that finds the buffer full. */
enum {
	AVOW_DROP_OLDEST = 0, /* it takes the place of the oldest */
	AVOW_DROP_NEWEST,     /* it is dropped itself */
	AVOW_FAIL	      /* so too, and the iterator ends with ENOBUFS */
};

/* What may follow the emitter: avow_events_new(e, "data", .limit = 64). */
typedef struct avow_events_options {
	const char *name AVOW_UNSET_;
	size_t limit AVOW_UNSET_; /* events kept at most; 0 stands for 16 */
	int full AVOW_UNSET_;	  /* what gives way: AVOW_DROP_OLDEST, ... */
	avow_signal *signal AVOW_UNSET_; /* ends it; see below */
} avow_events_options;

/*
 * Begin to listen to events of this name, and to "error".
 *
 * When `.signal` aborts, the requests are rejected with its reason, what is
 * kept is dropped, and later requests are rejected in the same way.
 *
 * Ownership   the caller's, until avow_events_free().
 * Returns     NULL when out of memory or when the loop is being freed.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_events *avow_events_new(avow_emitter *emitter,
						    const char *name);
/* Give it back, before or after its emitter and its loop, and from any
 * callback.  Requests are rejected with AVOW_ECLOSED; NULL does nothing.
 * Since 0.2 */
AVOW_API void avow_events_free(avow_events *events);

/*
 * The next value, as a promise; several requests are served in their order.  An
 * event "error" stands in its place among the others, and rejects the request
 * that comes to it; the iterator goes on.  (One that no request came to, and no
 * other listener, is an unhandled rejection.)  An iterator of "error" itself
 * gives errors as data (avow_unreify).
 *
 * Once the emitter was freed what is kept is still given out; then requests are
 * rejected with AVOW_ECLOSED.  With AVOW_FAIL and too many events, what is kept
 * is given out, the next request is rejected with ENOBUFS, and all others with
 * AVOW_ECLOSED.  Cancelling a request takes no event.
 *
 * Returns     a promise, never NULL; out of memory gives one that is rejected,
 *             and no event is lost by that.  After the loop was freed it is a
 *             programming error.
 * Since       0.2
 */
AVOW_API avow_promise *avow_events_next(avow_events *events);
/* How many events found no place so far.  Since 0.2 */
AVOW_API size_t avow_events_lost(const avow_events *events);

AVOW_API bool avow_emitter_on_at(const char *place, avow_emitter *emitter,
				 const char *name, avow_event_fn *fn,
				 const avow_listener *listener);
AVOW_API bool avow_emitter_once_at(const char *place, avow_emitter *emitter,
				   const char *name, avow_event_fn *fn,
				   const avow_listener *listener);
AVOW_API size_t avow_emitter_emit_at(const char *place, avow_emitter *emitter,
				     const char *name, avow_value value);
AVOW_API avow_promise *avow_once_at(const char *place, avow_emitter *emitter,
				    const avow_once_options *options);
AVOW_API AVOW_MUST_USE avow_events *
avow_events_new_at(const char *place, avow_emitter *emitter,
		   const avow_events_options *options);
AVOW_API avow_promise *avow_events_next_at(const char *place,
					   avow_events *events);

#ifdef __cplusplus
}
#endif

/* In C++ before C++20 options are a filled struct in place of what is given by
 * place: avow_emitter_on(e, "data", fn, listener). */
#define avow_emitter_on(emitter, name, fn, ...)                \
	avow_emitter_on_at(AVOW_HERE, (emitter), (name), (fn), \
			   AVOW_OPTIONS_(avow_listener, arg, __VA_ARGS__))
#define avow_emitter_once(emitter, name, fn, ...)                \
	avow_emitter_once_at(AVOW_HERE, (emitter), (name), (fn), \
			     AVOW_OPTIONS_(avow_listener, arg, __VA_ARGS__))
#define avow_emitter_emit(...) avow_emitter_emit_at(AVOW_HERE, __VA_ARGS__)
#define avow_once(emitter, ...)            \
	avow_once_at(AVOW_HERE, (emitter), \
		     AVOW_OPTIONS_(avow_once_options, name, __VA_ARGS__))
#define avow_events_new(emitter, ...)                               \
	avow_events_new_at(AVOW_HERE, (emitter),                    \
			   AVOW_OPTIONS_(avow_events_options, name, \
					 __VA_ARGS__))
#define avow_events_next(...) avow_events_next_at(AVOW_HERE, __VA_ARGS__)

#endif /* AVOW_EMITTER_H */
