/*
 * SPDX-License-Identifier: MIT
 *
 * sched.h - the job queue: rings of nodes, and draining them within a budget.
 *
 * The scheduler knows nodes as things with `next` and `back`.  What a job does
 * is the business of the layer above, which supplies avow__run_jobs() and
 * takes its steps from here.
 */
#ifndef AVOW_SRC_SCHED_H
#define AVOW_SRC_SCHED_H

#include "loop.h"

/* A ring is known by its last node, NULL when empty; tail->next is its first.
 * Doubly linked, so that a cancelled node leaves in O(1). */
static inline void avow__ring_append(avow_promise **ring, avow_promise *p)
{
	avow_promise *tail = *ring;
	if (!tail) {
		p->next = p->back = p;
	} else {
		avow_promise *head = tail->next;
		p->next = head;
		p->back = tail;
		tail->next = p;
		head->back = p;
	}
	*ring = p;
}

/* All of the ring with last node `other_tail` joins, in front or behind. */
static inline void avow__ring_splice(avow_promise **ring,
				     avow_promise *other_tail, bool in_front)
{
	avow_promise *tail = *ring;
	if (!tail) {
		*ring = other_tail;
		return;
	}
	avow_promise *head = tail->next, *other_head = other_tail->next;
	tail->next = other_head;
	other_head->back = tail;
	other_tail->next = head;
	head->back = other_tail;
	if (!in_front)
		*ring = other_tail;
}

static inline void avow__ring_unlink(avow_promise **ring, avow_promise *p)
{
	avow_promise *back = p->back, *next = p->next;
	if (back == p) {
		*ring = NULL;
		return;
	}
	back->next = next;
	next->back = back;
	if (*ring == p)
		*ring = back;
}

/* The same for one of the two rings of the loop, whichever it is in. */
static inline void avow__queue_unlink(avow_loop *loop, avow_promise *p)
{
	avow__ring_unlink(loop->immediates == p ? &loop->immediates :
						  &loop->jobs, p);
}

/* Take the first; the ring must not be empty. */
static inline avow_promise *avow__ring_pop(avow_promise **ring)
{
	avow_promise *tail = *ring, *head = tail->next;
	if (head == tail) {
		*ring = NULL;
	} else {
		avow_promise *next = head->next;
		tail->next = next;
		next->back = tail;
	}
	return head;
}

static inline void avow__job_append(avow_loop *loop, avow_promise *p)
{
	avow__ring_append(&loop->jobs, p);
	avow__wake(loop);
}

/* The program's handles at this depth are none: also after a nested drain. */
void avow__depth_set(avow_loop *loop, unsigned depth);

/* What one drain may do.  Jobs are counted by the loop's tick, so jobs of
 * nested drains count as well. */
struct avow__budget {
	uint64_t start_tick, next_look;
	uint64_t start_ns;	/* 0 until the clock was read */
};
void avow__budget_open(const avow_loop *loop, struct avow__budget *budget);
/* Called at next_look: sets the next, or ends the drain. */
bool avow__budget_goes_on(const avow_loop *loop, struct avow__budget *budget);

/* Code of the program's is to run, and may run the event loop: that one must
 * find what has been queued since the job on the stack began. */
static inline void avow__show_jobs(avow_loop *loop)
{
	if (loop->jobs)
		avow__wake(loop);
}

/* The next job leaves the queue; the queue must not be empty. */
static inline avow_promise *avow__job_next(avow_loop *loop)
{
	avow_promise *job = avow__ring_pop(&loop->jobs);
	if (loop->jobs)
		avow__wake(loop); /* a nested loop must find them */
	loop->tick++;
	return job;
}

/* Between two jobs: reap, and undo what nested drains left behind.  False when
 * the loop is being freed. */
bool avow__attend(avow_loop *loop, unsigned depth);

/* Supplied by the layer above: do jobs, one at a time and within the budget;
 * true when some remain. */
bool avow__run_jobs(avow_loop *loop, unsigned depth);
/* The same for one job, which has left the queue. */
void avow__run(avow_loop *loop, avow_promise *job);
/* Supplied by the layer above: reap what is parked at `depth` and deeper. */
void avow__reap(avow_loop *loop, unsigned depth);
/* Supplied by the layer above: the loop was freed and nothing runs now. */
void avow__loop_finish(avow_loop *loop);

/*
 * Run jobs, as the callback of an event loop at `depth`, until there are none
 * or the budget is used up; then the driver is asked for a turn.
 */
void avow__drain(avow_loop *loop, unsigned depth);
/* The next iteration of the event loop has come. */
void avow__turn(avow_loop *loop, unsigned depth);

/*
 * Every frame of ours that calls the program and touches the loop afterwards
 * stands between these two.  The last to leave finishes a freed loop, so
 * nothing may touch the loop after avow__leave().
 */
static inline void avow__enter(avow_loop *loop)
{
	loop->busy++;
}
static inline void avow__leave(avow_loop *loop)
{
	if (--loop->busy == 0 && UNLIKELY(avow__is_closing(loop)) &&
	    !loop->is_finishing)
		avow__loop_finish(loop);
}

#endif
