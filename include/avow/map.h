/*
 * SPDX-License-Identifier: MIT
 *
 * avow/map.h - collections and loops: map, filter, each, reduce, repeat.
 *
 * Included by avow.h; include that.
 *
 *     p = avow_map(loop, url_count, fetch, urls, .limit = 8);
 *
 * runs `fetch` for the indices 0, 1, ... (an avow_int), at most eight at a
 * time, and is fulfilled with the list of what they gave.  The function is a
 * handler: it returns a value, an error, or avow_await() of a promise, and it
 * runs from the loop, never inside the call that begins it.
 *
 * Items need not be indices.  With `.pull` they come from a function, one after
 * the other and only when there is room: that is back-pressure, and memory is
 * bounded by the limit however many items there are.  `.pull` is a handler as
 * well: it gets the index, returns an item or avow_await() of one, and
 * avow_done(avow_none()) after the last.  avow_take() of an item works in the
 * function that gets it.
 *
 * The first error stops everything: no more is begun, what runs is cancelled
 * (unless others wait for it too), and the promise is rejected with it.
 * Cancelling the promise does the same.
 */
#ifndef AVOW_MAP_H
#define AVOW_MAP_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What may follow `fn`; the first is `arg`. */
typedef struct avow_walk {
	void *arg AVOW_UNSET_;	     /* given to fn */
	ptrdiff_t limit AVOW_UNSET_; /* at a time; 0: 16.  map, filter, each */
	avow_handler_fn *pull AVOW_UNSET_; /* gives the items; not for repeat */
	void *from AVOW_UNSET_;		   /* given to pull */
	avow_value initial AVOW_UNSET_VALUE_; /* what reduce and repeat begin
						 with, taken over */
	bool unordered AVOW_UNSET_; /* map, filter: as they were completed */
	bool collect AVOW_UNSET_;   /* map: an error is an item of the list,
					   and stops nothing */
	avow_signal *signal AVOW_UNSET_; /* aborts it; see avow/abort.h */
} avow_walk;

/* For `count`: as many items as `.pull` gives. */
#define AVOW_UNTIL_DONE SIZE_MAX

/*
 * "That was the last": what `.pull` returns after the last item, and what the
 * function of avow_repeat() returns to end it, with its result.
 *
 * Ownership   takes `result`.
 * Returns     a value; an error when `result` is one, or when out of memory.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_value avow_done(avow_value result);
AVOW_API bool avow_is_done(avow_value value);

/*
 * Run `fn` for `count` items.  Fulfilled with a list of what it gave, in the
 * order of the items.
 *
 * Returns     a promise, never NULL.  A negative limit is rejected
 *             (AVOW_EINVALID).
 * Since       0.2
 */
AVOW_API avow_promise *avow_map(avow_loop *loop, size_t count,
				avow_handler_fn *fn, void *arg);
/* Fulfilled with a list of the items for which `fn` gave avow_bool(true); what
 * it gives must be a bool.  Returns as above.  Since 0.2 */
AVOW_API avow_promise *avow_filter(avow_loop *loop, size_t count,
				   avow_handler_fn *fn, void *arg);
/* Fulfilled with the number of items (an avow_int) once `fn` has ended for each.
 * What it gives is dropped, so memory is constant.  Returns as above.  0.2 */
AVOW_API avow_promise *avow_each(avow_loop *loop, size_t count,
				 avow_handler_fn *fn, void *arg);

/*
 * Run `fn` for one item after the other, each with what the one before it gave
 * (`.initial` for the first).  Fulfilled with what the last one gave.  `sum` may
 * be taken with avow_take(); `item` is borrowed.
 *
 * Returns     a promise, never NULL.
 * Since       0.2
 */
typedef avow_value avow_reduce_fn(avow_value sum, avow_value item, void *arg);
AVOW_API avow_promise *avow_reduce(avow_loop *loop, size_t count,
				   avow_reduce_fn *fn, void *arg);

/*
 * Run `fn` again and again, each time with what it gave the time before
 * (`.initial` for the first), until that is avow_done(result); fulfilled with
 * the result.  Constant memory, however long it runs, and timers and sockets
 * get their turn (rule 3 of docs/design.md).
 *
 * Returns     a promise, never NULL.
 * Since       0.2
 */
AVOW_API avow_promise *avow_repeat(avow_loop *loop, avow_handler_fn *fn,
				   void *arg);

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
