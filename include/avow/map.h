/*
 * SPDX-License-Identifier: MIT
 *
 * avow/map.h - collections and loops: map, filter, each, reduce, repeat.
 *
 * Included by avow.h; include that.
 *
 *     p = avow_map(loop, url_count, fetch, urls, .limit = 8);
 *
 * runs `fetch` for the items 0, 1, ... (an avow_int each), at most eight at a
 * time, and is fulfilled with the list of what they gave.  The function is a
 * handler: it returns a value, an error, or avow_await() of a promise, which
 * counts as at work until that has settled.  It runs from the loop, never
 * inside the call that begins it.
 *
 * Items need not be numbers.  With `.pull` they come from a function, one after
 * the other and only when there is room: that is back-pressure, and memory is
 * bounded by the limit however many items there are.  `.pull` is a handler as
 * well: it gets the index, returns an item or avow_await() of one, and
 * avow_done(avow_none()) after the last.  It is not called again before that
 * item has come.  The function that gets a pulled item may avow_take() it, and
 * else it is dropped once that has ended; the function of avow_filter(), which
 * gives the items back, only borrows it.
 *
 * The first error, of the function or of `.pull`, stops everything: no more is
 * begun, what runs is cancelled (unless others wait for it too), and the
 * promise is rejected with it.  Cancelling the promise, and its signal, do the
 * same.  Neither function is called once the promise has settled, so what `arg`
 * and `from` point to may go then (avow_attach).  What items that were stopped by
 * an error have left to clean up, by avow_finally() or avow_using(), may go on
 * behind the rejection: tie what that needs to the item itself.
 *
 * Where you know them by other names: the limit is the concurrency of p-map and
 * of Bluebird, where it is infinite unless told; `.collect` is stopOnError:
 * false; avow_each() with `.limit = 1` is Promise.each.
 */
#ifndef AVOW_MAP_H
#define AVOW_MAP_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What may follow `fn`; the first is `arg`. */
typedef struct avow_walk {
	void *arg AVOW_UNSET_;	     /* given to fn; stays yours */
	ptrdiff_t limit AVOW_UNSET_; /* map, filter, each: so many at a time;
					0 is 16 */
	avow_handler_fn *pull AVOW_UNSET_;    /* all but repeat: gives the
						 items */
	void *from AVOW_UNSET_;		      /* given to pull; stays yours */
	avow_value initial AVOW_UNSET_VALUE_; /* reduce, repeat: what they begin
						 with, taken over; misuse in
						 the others */
	bool unordered AVOW_UNSET_; /* map, filter: the list is in the order
				       in which they ended */
	bool collect AVOW_UNSET_;   /* map: an error of fn is an item of the
				       list, and stops nothing */
	avow_signal *signal AVOW_UNSET_; /* aborts it; see avow/abort.h */
} avow_walk;

/* For `count`: as many items as `.pull` gives.  (Without `.pull`, no end.) */
#define AVOW_UNTIL_DONE SIZE_MAX

/*
 * "That was the last": what `.pull` returns after the last item, and what the
 * function of avow_repeat() returns to end it, with its result.  What `.pull`
 * says it with is dropped.
 *
 * Ownership   takes `result`.
 * Returns     a value; the error itself when `result` is one, and an error when
 *             out of memory.  A promise as result is a programming error:
 *             avow_await() one that gives avow_done().
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_value avow_done(avow_value result);
/* Is it one that avow_done() made?  Since 0.2 */
AVOW_API bool avow_is_done(avow_value value);

/*
 * Run `fn` for `count` items, or for at most so many where they are pulled.
 * Fulfilled with a list of what it gave, in the order of the items; none at all
 * give an empty list.
 *
 * A value that somebody else holds too (`fn` awaited a promise that is held) is
 * shared: the list and they both have it.
 *
 * Returns     a promise, never NULL.  A negative limit is rejected
 *             (AVOW_EINVALID).
 * Calls back  `fn` and `.pull`, from the loop, as long as it is pending.
 * Since       0.2
 */
AVOW_API avow_promise *avow_map(avow_loop *loop, size_t count,
				avow_handler_fn *fn, void *arg);
/*
 * Fulfilled with a list of the very items, numbers or pulled, for which `fn`
 * gave avow_bool(true), in their order; the others are dropped.  To give
 * anything but a bool is a programming error.  The rest is as above.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_filter(avow_loop *loop, size_t count,
				   avow_handler_fn *fn, void *arg);
/*
 * Fulfilled with the number of items (an avow_int) once `fn` has ended for each.
 * What it gives is dropped, so memory is constant.  The rest is as above.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_each(avow_loop *loop, size_t count,
				 avow_handler_fn *fn, void *arg);

/*
 * Run `fn` for one item after the other, each with what the one before it gave
 * (`.initial` for the first).  Fulfilled with what the last one gave, or with
 * `.initial` where there is no item.  `sum` may be taken with avow_take();
 * `item` is borrowed, and dropped once `fn` has ended.
 *
 * `.initial` may be avow_await() of a promise, which is waited for before
 * anything is pulled; an error rejects.
 *
 * Returns     a promise, never NULL.
 * Calls back  `fn` and `.pull`, from the loop, as long as it is pending.
 * Since       0.2
 */
typedef avow_value avow_reduce_fn(avow_value sum, avow_value item, void *arg);
AVOW_API avow_promise *avow_reduce(avow_loop *loop, size_t count,
				   avow_reduce_fn *fn, void *arg);

/*
 * Run `fn` again and again, each time with what it gave the time before
 * (`.initial` for the first, as above), which it may avow_take(), until that is
 * avow_done(result); fulfilled with the result.  Constant memory, however long
 * it runs, and timers and sockets get their turn (rule 3 of docs/design.md).
 *
 * A result whose avow_done() others hold too is copied through its type; where
 * that has no copy it is rejected (AVOW_ENOTCOPYABLE).
 *
 * Returns     a promise, never NULL.
 * Calls back  `fn`, from the loop, as long as it is pending.
 * Since       0.2
 */
AVOW_API avow_promise *avow_repeat(avow_loop *loop, avow_handler_fn *fn,
				   void *arg);

/* The same with a place, for wrappers, and with all options. */
AVOW_API avow_promise *avow_map_at(const char *place, avow_loop *loop,
				   size_t count, avow_handler_fn *fn,
				   const avow_walk *walk);
AVOW_API avow_promise *avow_filter_at(const char *place, avow_loop *loop,
				      size_t count, avow_handler_fn *fn,
				      const avow_walk *walk);
AVOW_API avow_promise *avow_each_at(const char *place, avow_loop *loop,
				    size_t count, avow_handler_fn *fn,
				    const avow_walk *walk);
AVOW_API avow_promise *avow_reduce_at(const char *place, avow_loop *loop,
				      size_t count, avow_reduce_fn *fn,
				      const avow_walk *walk);
AVOW_API avow_promise *avow_repeat_at(const char *place, avow_loop *loop,
				      avow_handler_fn *fn,
				      const avow_walk *walk);

#ifdef __cplusplus
}
#endif

/* In C++ before C++20 options are a filled avow_walk in place of `arg`. */
#define avow_map(loop, count, fn, ...)                \
	avow_map_at(AVOW_HERE, (loop), (count), (fn), \
		    AVOW_OPTIONS_(avow_walk, arg, __VA_ARGS__))
#define avow_filter(loop, count, fn, ...)                \
	avow_filter_at(AVOW_HERE, (loop), (count), (fn), \
		       AVOW_OPTIONS_(avow_walk, arg, __VA_ARGS__))
#define avow_each(loop, count, fn, ...)                \
	avow_each_at(AVOW_HERE, (loop), (count), (fn), \
		     AVOW_OPTIONS_(avow_walk, arg, __VA_ARGS__))
#define avow_reduce(loop, count, fn, ...)                \
	avow_reduce_at(AVOW_HERE, (loop), (count), (fn), \
		       AVOW_OPTIONS_(avow_walk, arg, __VA_ARGS__))
#define avow_repeat(loop, fn, ...)              \
	avow_repeat_at(AVOW_HERE, (loop), (fn), \
		       AVOW_OPTIONS_(avow_walk, arg, __VA_ARGS__))

#endif /* AVOW_MAP_H */
