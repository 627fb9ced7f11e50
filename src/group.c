/*
 * SPDX-License-Identifier: MIT
 *
 * group.c - task groups: promises that run beside each other, and joins that
 * wait for all of them.
 *
 * A member is an input and a place in the group's list.  A failure is kept as a
 * promise of its own, which joins are settled like; as long as none was, it is
 * a rejection that nobody handled, and is told as such when it goes.
 *
 * A group may be freed after its loop.  The guard, a task that nobody sees,
 * ends with the loop if not before, and takes everything of the loop's away.
 */
#include "line.h"

#include <string.h>

struct member {
	uint32_t word; /* RAW */
	struct member *next, *back;
	avow_group *group;
	avow_promise *input;
};

struct group_guard {
	struct avow__task task;
	avow_group *group;
};

struct group_join {
	struct avow__waiter waiter;
	avow_group *group;
};

struct avow_group {
	size_t uses; /* the owner, and frames on the stack */
	avow_loop *loop;
	struct group_guard *guard; /* NULL: the loop has ended */
	struct member *first, *last;
	size_t count;
	struct avow__line joins;
	avow_promise *failure; /* settled, and held; or NULL */
	unsigned stopping;     /* frames that are cancelling members */
	bool keeps_going;
	bool is_stopped; /* takes no more members */
	bool is_freed;
};

typedef char member_fits[sizeof(struct member) <= NODE_SIZE ? 1 : -1];

/* ---------------------------------------------------------------- The end */

static void group_unuse(avow_group *group)
{
	if (--group->uses > 0)
		return;
	struct group_guard *const guard = group->guard;
	if (guard) {
		guard->group = NULL;
		if (group->failure)
			avow__unuse_in_call(group->loop, group->failure);
		avow__task_settle(&guard->task, avow__none);
	}
	avow__free(group);
}

/* The caller holds the group. */
static void group_settle_joins(avow_group *group)
{
	struct avow__waiter *join;
	if (group->first || group->stopping)
		return;
	while ((join = avow__line_take(&group->joins)) != NULL) {
		if (group->is_freed)
			avow__task_settle(&join->task,
					  avow__core_error(AVOW_ECLOSED));
		else if (group->failure)
			avow__task_settle_like(&join->task, group->failure);
		else
			avow__task_settle(&join->task, avow__none);
	}
}

/* ------------------------------------------------------------------ Members */

static void member_join(struct member *member, avow_group *group)
{
	member->group = group;
	member->next = NULL;
	member->back = group->last;
	if (group->last)
		group->last->next = member;
	else
		group->first = member;
	group->last = member;
	group->count++;
}

static void member_leave(struct member *member)
{
	avow_group *const group = member->group;
	if (member->back)
		member->back->next = member->next;
	else
		group->first = member->next;
	if (member->next)
		member->next->back = member->back;
	else
		group->last = member->back;
	group->count--;
	avow__raw_free(group->loop, member);
}

/* All of them, off the group and off what they wait for. */
static struct member *group_empty(avow_group *group)
{
	struct member *const list = group->first;
	for (struct member *member = list; member; member = member->next)
		avow__input_unlink(group->loop, member->input);
	group->first = group->last = NULL;
	group->count = 0;
	return list;
}

/* The group takes no more, and cancels what it has.  That runs the program's
 * code, which finds an empty group; joins wait until it has come to its end. */
static void group_stop(avow_group *group)
{
	avow_loop *const loop = group->loop;
	struct member *list = group_empty(group);
	group->is_stopped = true;
	group->stopping++;
	group->uses++;
	const bool is_inside = avow__is_giving_up(loop);
	if (!is_inside)
		avow__enter(loop);
	while (list) {
		struct member *const member = list;
		avow_promise *const input = member->input;
		list = member->next;
		avow__raw_free(loop, member);
		avow__input_cancel(loop, input);
	}
	group->stopping--;
	group_settle_joins(group);
	group_unuse(group);
	if (!is_inside)
		avow__leave(loop);
}

/* The first failure, by a plain error. */
static void group_fail(avow_group *group, const char *place, int code,
		       const avow_domain *domain)
{
	if (group->failure)
		return;
	avow_promise *const failure = avow__root(group->loop, place, SEALED);
	failure->uses++;
	avow__resolve_root(group->loop, failure,
			   avow_domain_error(domain, code));
	group->failure = failure;
}

/* The same by that of a member, whose input this takes over, in its job. */
static void group_fail_like(avow_group *group, avow_promise *input)
{
	avow_loop *const loop = group->loop;
	avow_promise *const failure = avow__root(loop, input->place, SEALED);
	failure->uses++;
	group->failure = failure;
	if (failure->word & IMMORTAL) {
		avow__input_end(loop, input);
		return;
	}
	avow_promise *const source = input->source;
	avow__node_free(loop, input);
	avow__settle_alias(loop, failure, source, false);
}

static void group_on_member(void *node)
{
	avow_promise *const input = node;
	struct member *const member = input->arg;
	avow_group *const group = member->group;
	const bool is_failure = input->source->word & AVOW_REJECTED &&
				!avow_is_cancelled(avow__input_value(input));
	member_leave(member);
	group->uses++;
	if (is_failure && !group->failure)
		group_fail_like(group, input);
	else
		avow__input_end(group->loop, input);
	if (is_failure && !group->keeps_going && !group->is_stopped)
		group_stop(group);
	else
		group_settle_joins(group);
	group_unuse(group);
}

/* False when out of memory. */
static bool group_wait(avow_group *group, const char *place, avow_promise *p)
{
	avow_loop *const loop = group->loop;
	struct member *const member = avow__node_alloc(loop);
	if (!member)
		return false;
	member->word = RAW;
	member->input = avow__input(loop, place, p, group_on_member, member);
	if (!member->input) {
		avow__raw_free(loop, member);
		return false;
	}
	member_join(member, group);
	return true;
}

/* What cannot be a member is not left running by itself. */
static void group_refuse(avow_group *group, const char *place, avow_promise *p)
{
	avow_loop *const loop = group->loop;
	avow__enter(loop);
	group->uses++;
	p->word |= HANDLED;
	avow_cancel(p);
	if (!group->is_stopped) {
		group_fail(group, place, ENOMEM, &avow_errno_domain);
		if (!group->keeps_going)
			group_stop(group);
	}
	group_unuse(group);
	avow__leave(loop);
}

bool avow_group_add_at(const char *place, avow_group *group, avow_promise *p)
{
	CHECK(group, place, "avow_group_add() to a NULL group");
	avow__loop_entry(group->loop, "avow_group_add()");
	avow__source_check(group->loop, p, place);
	if (!group->is_stopped && group_wait(group, place, p))
		return true;
	group_refuse(group, place, p);
	return false;
}

bool(avow_group_add)(avow_group *group, avow_promise *p)
{
	return avow_group_add_at(NULL, group, p);
}

size_t avow_group_count(const avow_group *group)
{
	CHECK(group, NULL, "avow_group_count(NULL)");
	return group->count;
}

/* -------------------------------------------------------------------- Joins */

static void group_cancel(avow_group *group)
{
	if (!group->guard)
		return;
	group_fail(group, NULL, AVOW_ECANCELLED, &avow_core_domain);
	group_stop(group);
}

static void group_join_end(struct avow__task *task, bool is_cancelled)
{
	struct group_join *const join = (struct group_join *)task;
	avow_group *const group = join->group;
	avow__line_leave(&join->waiter);
	if (is_cancelled && !group->joins.first)
		group_cancel(group);
}

avow_promise *avow_group_join_at(const char *place,
				 const avow_group_wait *options)
{
	avow_group *const group = options->group;
	avow_promise *result;
	CHECK(group, place, "avow_group_join() of a NULL group");
	struct group_join *const join =
		avow__task_open(group->loop, place, "avow_group_join()",
				sizeof(*join), group_join_end, &result);
	if (!join)
		return result;
	avow_loop *const loop = group->loop;
	join->group = group;
	avow__enter(loop);
	avow__line_join(&group->joins, &join->waiter);
	group_settle_joins(group);
	avow_promise *const seen =
		avow_abortable_at(place, result, options->signal);
	/* Out of memory is no reason to cancel the group. */
	if (seen == loop->immortal && !avow__is_settled(result))
		avow__task_settle(&join->waiter.task, avow__none);
	avow__leave(loop);
	return seen;
}

avow_promise *(avow_group_join)(avow_group *group)
{
	return avow_group_join_at(NULL, &(avow_group_wait){ .group = group });
}

void avow_group_cancel(avow_group *group)
{
	CHECK(group, NULL, "avow_group_cancel(NULL)");
	group_cancel(group);
}

/* ------------------------------------------------------------------- Groups */

/* The loop ends, and each promise with it by itself. */
static void group_guard_end(struct avow__task *task, bool is_cancelled)
{
	avow_group *const group = ((struct group_guard *)task)->group;
	(void)is_cancelled;
	if (!group)
		return;
	avow_loop *const loop = group->loop;
	struct member *list = group_empty(group);
	group->guard = NULL;
	group->is_stopped = true;
	while (list) {
		struct member *const member = list;
		list = member->next;
		avow__input_leave(loop, member->input);
		avow__raw_free(loop, member);
	}
	if (group->failure)
		avow__unuse_in_call(loop, group->failure);
	group->failure = NULL;
}

avow_group *avow_group_new_at(const char *place,
			      const avow_group_options *options)
{
	avow_loop *const loop = options->loop;
	avow_promise *unseen;
	struct group_guard *const guard =
		avow__task_open(loop, place, "avow_group_new()", sizeof(*guard),
				group_guard_end, &unseen);
	unseen->word |= HANDLED;
	if (!guard)
		return NULL;
	avow_group *const group = avow__alloc(sizeof(*group));
	if (!group) {
		avow__task_settle(&guard->task, avow__none);
		return NULL;
	}
	memset(group, 0, sizeof(*group));
	group->uses = 1;
	group->loop = loop;
	group->keeps_going = options->keep_going;
	group->guard = guard;
	guard->group = group;
	return group;
}

avow_group *(avow_group_new)(avow_loop *loop)
{
	return avow_group_new_at(NULL, &(avow_group_options){ .loop = loop });
}

void avow_group_free(avow_group *group)
{
	if (!group)
		return;
	group->is_freed = true;
	if (!group->guard) {
		avow__line_reject(&group->joins,
				  avow__core_error(AVOW_ECLOSED));
		group_unuse(group);
		return;
	}
	avow_loop *const loop = group->loop;
	avow__enter(loop);
	group_stop(group);
	group_unuse(group);
	avow__leave(loop);
}
