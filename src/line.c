/*
 * SPDX-License-Identifier: MIT
 *
 * line.c - tasks that wait in a line.
 */
#include "line.h"

void avow__line_join(struct avow__line *line, struct avow__waiter *waiter)
{
	waiter->line = line;
	waiter->next = NULL;
	waiter->back = line->last;
	if (line->last)
		line->last->next = waiter;
	else
		line->first = waiter;
	line->last = waiter;
}

void avow__line_leave(struct avow__waiter *waiter)
{
	struct avow__line *const line = waiter->line;
	if (!line)
		return;
	waiter->line = NULL;
	if (waiter->back)
		waiter->back->next = waiter->next;
	else
		line->first = waiter->next;
	if (waiter->next)
		waiter->next->back = waiter->back;
	else
		line->last = waiter->back;
}

struct avow__waiter *avow__line_take(struct avow__line *line)
{
	struct avow__waiter *const first = line->first;
	if (first)
		avow__line_leave(first);
	return first;
}

void avow__line_reject(struct avow__line *line, avow_value error)
{
	struct avow__waiter *waiter;
	while ((waiter = avow__line_take(line)) != NULL)
		avow__task_settle(&waiter->task, error);
}
