/*
 * SPDX-License-Identifier: MIT
 *
 * line.h - tasks that wait in a line, first in first out: for a permit, for
 * room in a queue, for their time, for the end of a group.
 *
 * A waiter stands in the state of its task, so that joining cannot fail and
 * leaving takes two stores.  Whoever owns a line outlives its waiters, or
 * rejects them first.
 */
#ifndef AVOW_SRC_LINE_H
#define AVOW_SRC_LINE_H

#include "task.h"

struct avow__waiter {
	struct avow__task task;
	struct avow__line *line; /* NULL: in none */
	struct avow__waiter *next, *back;
};

struct avow__line {
	struct avow__waiter *first, *last;
};

void avow__line_join(struct avow__line *line, struct avow__waiter *waiter);
/* Does nothing when it is in no line: what each `end` begins with. */
void avow__line_leave(struct avow__waiter *waiter);
/* The first, which has left the line, or NULL. */
struct avow__waiter *avow__line_take(struct avow__line *line);
/* Reject all of them with a plain error.  Ends: whoever calls it lets nobody
 * join any more. */
void avow__line_reject(struct avow__line *line, avow_value error);

#endif
