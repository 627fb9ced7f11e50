/*
 * SPDX-License-Identifier: MIT
 *
 * avow/combine.h - one promise out of many: all, all_settled, any, some, race.
 *
 * Included by avow.h; include that.
 *
 *     avow_promise *both[] = { fetch(loop, a), fetch(loop, b) };
 *     p = avow_then(avow_all(loop, both, 2), compare, NULL);
 *
 * The array is read before the function returns and stays the caller's; the
 * promises in it are not consumed, and one may stand in it twice.  An array
 * that is filled over several callbacks needs each of its promises held
 * (avow_hold) until then, or an avow_group instead.
 *
 * Results come as a list (avow_list_at), one item for each promise and in the
 * order of the array.  A value that nobody else reads moves into the list;
 * where somebody does, both have it, and avow_take() of the item copies it
 * through its type.  Memory of avow_alloc() that a result may point into stays
 * as long as the list.
 *
 * Once the outcome is decided, the promises that no longer matter are left
 * alone: they go on, and their rejections count as handled.  With
 * `.cancel_losers` those that nobody else waits for are cancelled.  Cancelling
 * the promise returned always cancels those.
 */
/* Before the guard: when this one is included first, avow.h includes it again,
 * where those that follow need it. */
#include "../avow.h"

#ifndef AVOW_COMBINE_H
#define AVOW_COMBINE_H

#ifdef __cplusplus
extern "C" {
#endif

/* What may follow `list`: avow_all(loop, list, count, .signal = s). */
typedef struct avow_join {
	size_t count AVOW_UNSET_; /* of promises in the list */
	bool cancel_losers AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_; /* aborts it; see avow/abort.h */
} avow_join;

/*
 * Fulfilled with the list of all values once all are fulfilled; rejected with
 * the first rejection.  None at all give an empty list.
 *
 * Returns     a promise, never NULL; NULL for a list with a count is rejected
 *             (AVOW_EINVALID), and so is out of memory.  A NULL promise in the
 *             list is a programming error.
 * Since       0.2
 */
AVOW_API avow_promise *avow_all(avow_loop *loop, avow_promise *const *list,
				size_t count);
/* Fulfilled once all are settled, whatever became of them: the items are values
 * and errors (avow_is_error).  Returns as above.  Since 0.2 */
AVOW_API avow_promise *
avow_all_settled(avow_loop *loop, avow_promise *const *list, size_t count);
/*
 * Fulfilled with the first value; rejected once all are rejected, and for an
 * empty list, with AVOW_EAGGREGATE, whose avow_cause() is the list of all
 * errors in the order of the array.  Returns as above.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_any(avow_loop *loop, avow_promise *const *list,
				size_t count);
/* Settled as the first that settles, fulfilled or rejected.  None at all never
 * settle.  Returns as above.  Since 0.2 */
AVOW_API avow_promise *avow_race(avow_loop *loop, avow_promise *const *list,
				 size_t count);
/*
 * Fulfilled with a list of the first `wanted` values, in the order in which
 * they came; rejected as avow_any() as soon as so many can no longer come, with
 * the errors until then.  More than there are is rejected (AVOW_EINVALID); 0
 * gives an empty list.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_some(avow_loop *loop, size_t wanted,
				 avow_promise *const *list, size_t count);

AVOW_API avow_promise *avow_all_at(const char *place, avow_loop *loop,
				   avow_promise *const *list,
				   const avow_join *join);
AVOW_API avow_promise *avow_all_settled_at(const char *place, avow_loop *loop,
					   avow_promise *const *list,
					   const avow_join *join);
AVOW_API avow_promise *avow_any_at(const char *place, avow_loop *loop,
				   avow_promise *const *list,
				   const avow_join *join);
AVOW_API avow_promise *avow_race_at(const char *place, avow_loop *loop,
				    avow_promise *const *list,
				    const avow_join *join);
AVOW_API avow_promise *avow_some_at(const char *place, avow_loop *loop,
				    size_t wanted, avow_promise *const *list,
				    const avow_join *join);

#ifdef __cplusplus
}
#endif

/* In C++ before C++20 options are a filled avow_join in place of the count. */
#define avow_all(loop, list, ...) \
	avow_all_at(AVOW_HERE, (loop), (list), AVOW_JOIN_(__VA_ARGS__))
#define avow_all_settled(loop, list, ...) \
	avow_all_settled_at(AVOW_HERE, (loop), (list), AVOW_JOIN_(__VA_ARGS__))
#define avow_any(loop, list, ...) \
	avow_any_at(AVOW_HERE, (loop), (list), AVOW_JOIN_(__VA_ARGS__))
#define avow_race(loop, list, ...) \
	avow_race_at(AVOW_HERE, (loop), (list), AVOW_JOIN_(__VA_ARGS__))
#define avow_some(loop, wanted, list, ...)                \
	avow_some_at(AVOW_HERE, (loop), (wanted), (list), \
		     AVOW_JOIN_(__VA_ARGS__))

#define AVOW_JOIN_(...) AVOW_OPTIONS_(avow_join, count, __VA_ARGS__)

#endif /* AVOW_COMBINE_H */
