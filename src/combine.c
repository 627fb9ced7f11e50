/*
 * SPDX-License-Identifier: MIT
 *
 * combine.c - one promise out of many.
 *
 * All of them are the same task with a list of inputs.  An item of the list
 * stands for its input until that has settled, and for what came of it after;
 * so the list is what the promise is fulfilled with (all, all_settled), or what
 * explains why it was rejected (any, some).
 */
#include "task.h"

enum join_kind { ALL, ALL_SETTLED, ANY, RACE, SOME };

struct join {
	struct avow__task task;
	/* Items: a waiting input has the join in place of its type. */
	struct avow__list *list;
	struct avow__list *chosen; /* SOME: the values so far */
	size_t waiting;		   /* inputs that have not settled */
	size_t wanted;	    /* SOME: values that are missing yet; ANY: 1 */
	unsigned char kind; /* enum join_kind */
	bool cancels_losers;
};

typedef char join_fits[sizeof(struct join) <= NODE_SIZE ? 1 : -1];

static bool join_is_waiting(const struct join *join, const avow_value *item)
{
	return item->type == (const avow_type *)join;
}

static size_t join_list_size(size_t count)
{
	return sizeof(struct avow__list) + count * sizeof(avow_value);
}

static struct avow__list *join_list_new(size_t count, void *alloc(size_t))
{
	struct avow__list *list = NULL;
	if (count < SIZE_MAX / sizeof(avow_value) - sizeof(*list))
		list = alloc(join_list_size(count));
	if (list)
		avow__list_init(list, 0);
	return list;
}

static void join_list_drop(struct avow__list *list)
{
	if (list)
		avow__container_drop(list);
}

/* Everything leaves its ring before the program's code may run. */
static void join_end(struct avow__task *task, bool is_cancelled)
{
	struct join *const join = (struct join *)task;
	struct avow__list *const list = join->list;
	avow_loop *const loop = avow__task_loop(task);
	const bool gives_up = is_cancelled ||
			      (join->cancels_losers && !avow__is_closing(loop));
	for (size_t i = 0; list && i < list->count; i++) {
		if (join_is_waiting(join, &list->items[i]))
			avow__input_unlink(loop, list->items[i].as.ptr);
	}
	for (size_t i = 0; list && i < list->count; i++) {
		avow_value *const item = &list->items[i];
		if (!join_is_waiting(join, item))
			continue;
		if (gives_up)
			avow__input_give_up(loop, item->as.ptr);
		else
			avow__input_leave(loop, item->as.ptr);
		*item = avow__none;
	}
	if (join->kind == RACE && list)
		avow_block_free_(list, join_list_size(list->count));
	else
		join_list_drop(list);
	join_list_drop(join->chosen);
}

/* Fulfilled with a list, which it takes from `*list`. */
static void join_fulfil(struct join *join, struct avow__list **list)
{
	const avow_value value = avow_own(*list, &avow_list_type);
	*list = NULL;
	avow__task_settle(&join->task, value);
}

/* Rejected with the errors so far, in the order of the array.  Out of memory
 * loses them, and keeps the code. */
static void join_give_errors(struct join *join)
{
	struct avow__list *const list = join->list;
	struct avow__list *const errors = join_list_new(list->count, avow__alloc);
	size_t count = 0;
	for (size_t i = 0; i < list->count; i++) {
		avow_value *const item = &list->items[i];
		if (!item->type || join_is_waiting(join, item))
			continue;
		count++;
		if (!errors)
			continue;
		errors->items[errors->count++] = *item;
		*item = avow__none;
	}
	avow__task_settle(
		&join->task,
		avow__error_around(join->task.promise->place, AVOW_EAGGREGATE,
				   errors ? avow_own(errors, &avow_list_type)
					  : avow__none,
				   "%zu of %zu promises were rejected", count,
				   list->count));
}

static void join_on_value(struct join *join, avow_promise *input,
			  avow_value *item)
{
	struct avow__list *const chosen = join->chosen;
	const bool is_rejected = input->source->word & AVOW_REJECTED;
	const avow_value value =
		avow__input_take(avow__task_loop(&join->task), input);
	*item = avow__none;
	if (!chosen)
		*item = value;
	else
		chosen->items[chosen->count++] = value;
	if (UNLIKELY(avow__value_is_error(value)) && !is_rejected)
		avow__task_settle(&join->task, avow_errno(ENOMEM));
	else if (chosen && !--join->wanted)
		join_fulfil(join, &join->chosen);
	else if (!chosen && !join->waiting)
		join_fulfil(join, &join->list);
}

static void join_on_error(struct join *join, avow_promise *input,
			  avow_value *item)
{
	*item = avow__input_take(avow__task_loop(&join->task), input);
	if (join->waiting < join->wanted)
		join_give_errors(join);
}

/* Whether it decides alone: what the promise is settled as. */
static bool join_is_decisive(const struct join *join, bool is_rejected)
{
	switch ((enum join_kind)join->kind) {
	case ALL:
		return is_rejected;
	case ANY:
		return !is_rejected;
	case RACE:
		return true;
	case ALL_SETTLED:
	case SOME:
		break;
	}
	return false;
}

/* The join may be gone when these have done their part, so the input, whose
 * end may run drops, ends last. */
static void join_on_other(struct join *join, avow_promise *input,
			  avow_value *item)
{
	avow_loop *const loop = avow__slab_of(input)->loop;
	const bool is_rejected = input->source->word & AVOW_REJECTED;
	if (join_is_decisive(join, is_rejected)) {
		*item = avow__none;
		avow__task_settle_as(&join->task, input);
		return;
	}
	if (is_rejected && join->kind != ALL_SETTLED)
		join_on_error(join, input, item);
	else
		join_on_value(join, input, item);
	avow__input_end(loop, input);
}

static void join_on_input(void *node)
{
	avow_promise *const input = node;
	avow_value *const item = input->arg;
	struct join *const join = (struct join *)(uintptr_t)item->type;
	const avow_promise *const source = input->source;
	const size_t waiting = --join->waiting;
	const uint32_t rare = ALIAS | EXTRA | AVOW_REJECTED;
	const avow_type *const type = source->value.type;
	if (UNLIKELY(join->kind != ALL || !waiting || source->word & rare) ||
	    UNLIKELY(type && type->drop)) {
		join_on_other(join, input, item);
		return;
	}
	*item = source->value;
	avow__input_end(avow__slab_of(input)->loop, input);
}

/*
 * Is it settled with a value that can simply be written down?  Then there is
 * nothing to wait for; only the last of the array always has its job, so that
 * the promise settles where ECMAScript's would.
 */
static inline bool join_is_there(const struct join *join,
				 const avow_promise *source)
{
	const uint32_t mask = AVOW_FULFILLED | AVOW_REJECTED | ALIAS | EXTRA;
	const avow_type *const type = source->value.type;
	return join->kind <= ALL_SETTLED &&
	       (source->word & mask) == AVOW_FULFILLED && !(type && type->drop);
}

/* Wait for all of them; false when out of memory. */
static bool join_wait(avow_loop *loop, const char *place, struct join *join,
		      avow_promise *const *sources, size_t count)
{
	struct avow__list *const list = join->list;
	for (size_t i = 0; i < count; i++) {
		avow_promise *const source = sources[i];
		avow_value *const item = &list->items[i];
		avow__source_check(loop, source, place);
		list->count = i + 1;
		*item = avow__none;
		if (i + 1 < count && join_is_there(join, source)) {
			*item = source->value;
			continue;
		}
		avow_promise *const input =
			avow__input(loop, place, source, join_on_input, item);
		if (UNLIKELY(!input))
			return false;
		item->as.ptr = input;
		item->type = (const avow_type *)join;
		join->waiting++;
	}
	return true;
}

/* Nothing to wait for: all are settled at once but for a race, as in
 * ECMAScript. */
static void join_decide_at_once(struct join *join, size_t count)
{
	if (join->kind == SOME && !join->wanted)
		join_fulfil(join, &join->chosen);
	else if (!count && (join->kind == ALL || join->kind == ALL_SETTLED))
		join_fulfil(join, &join->list);
	else if (!count && join->kind == ANY)
		join_give_errors(join);
}

static avow_value join_bad(const char *place, const char *call,
			   avow_promise *const *list, size_t count,
			   size_t wanted)
{
	if (!list && count)
		return avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
				     "%s of a NULL list of %zu", call, count);
	if (wanted > count)
		return avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
				     "%s of %zu promises: %zu are wanted", call,
				     count, wanted);
	return avow__none;
}

/* False when out of memory. */
static bool join_start(avow_loop *loop, const char *place, struct join *join,
		       avow_promise *const *list, size_t count)
{
	/* The list of a race is nobody's result; small blocks are cached. */
	join->list = join_list_new(count, join->kind == RACE ?
						  avow_block_alloc_ :
						  avow__alloc);
	if (join->kind == SOME)
		join->chosen = join_list_new(join->wanted, avow__alloc);
	if (!join->list || (join->kind == SOME && !join->chosen))
		return false;
	return join_wait(loop, place, join, list, count);
}

static avow_promise *join_open(const char *place, avow_loop *loop,
			       const char *call, enum join_kind kind,
			       size_t wanted, avow_promise *const *list,
			       const avow_join *options)
{
	const size_t count = options->count;
	avow_promise *result;
	struct join *const join = avow__task_open(
		loop, place, call, sizeof(*join), join_end, &result);
	if (!join)
		return result;
	const avow_value bad = join_bad(place, call, list, count, wanted);
	if (bad.type) {
		avow__task_settle(&join->task, bad);
		return result;
	}
	join->kind = (unsigned char)kind;
	join->cancels_losers = options->cancel_losers;
	join->wanted = kind == ANY ? 1 : wanted;
	/* Hooks of what is cancelled in here may do anything: the signal, which
	 * may be gone then, comes first. */
	avow__enter(loop);
	const bool is_started = join_start(loop, place, join, list, count);
	result = avow__task_abortable(place, result, options->signal);
	result->uses++;
	/* Settled, it was cancelled, and so was the task. */
	if (!avow__is_settled(result)) {
		if (is_started)
			join_decide_at_once(join, count);
		else
			avow__task_settle(&join->task, avow_errno(ENOMEM));
	}
	avow__unuse_in_call(loop, result);
	avow__leave(loop);
	return result;
}

#define JOIN(name, kind)                                                     \
	avow_promise *avow_##name##_at(const char *place, avow_loop *loop,   \
				       avow_promise *const *list,            \
				       const avow_join *join)                \
	{                                                                    \
		return join_open(place, loop, "avow_" #name "()", kind, 0,   \
				 list, join);                                \
	}                                                                    \
	avow_promise *(avow_##name)(avow_loop * loop,                        \
				    avow_promise *const *list, size_t count) \
	{                                                                    \
		return avow_##name##_at(NULL, loop, list,                    \
					&(avow_join){ .count = count });     \
	}

JOIN(all, ALL)
JOIN(all_settled, ALL_SETTLED)
JOIN(any, ANY)
JOIN(race, RACE)

avow_promise *avow_some_at(const char *place, avow_loop *loop, size_t wanted,
			   avow_promise *const *list, const avow_join *join)
{
	return join_open(place, loop, "avow_some()", SOME, wanted, list, join);
}

avow_promise *(avow_some)(avow_loop *loop, size_t wanted,
			  avow_promise *const *list, size_t count)
{
	return avow_some_at(NULL, loop, wanted, list,
			    &(avow_join){ .count = count });
}
