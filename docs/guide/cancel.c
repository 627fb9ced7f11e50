/*
 * SPDX-License-Identifier: MIT
 *
 * Giving up: what avow_cancel() stops and what it leaves alone, a deadline,
 * a hook for work of one's own.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>

static avow_value print(avow_value value, void *label)
{
	(void)value;
	printf("%s: done\n", (const char *)label);
	return avow_none();
}

static avow_value explain(avow_value error, void *label)
{
	printf("%s: %s\n", (const char *)label,
	       avow_is_cancelled(error) ? "cancelled" : avow_message(error));
	return avow_none();
}

static avow_value clean(avow_value outcome, void *label)
{
	(void)outcome;
	printf("%s: cleaned up\n", (const char *)label);
	return avow_none();
}

/* A slow job of our own: a libev timer, stopped when nobody wants it. */
struct job {
	ev_timer timer;
	struct ev_loop *ev;
	void *context;
};

static void job_done(struct ev_loop *ev, ev_timer *timer, int revents)
{
	struct job *job = timer->data;
	(void)ev, (void)revents;
	avow_settle(job->context, avow_none());
}

static void job_stop(void *arg)
{
	struct job *job = arg;
	puts("job: stopped");
	ev_timer_stop(job->ev, &job->timer);
	/* No callback will come: the memory of the call may go. */
	avow_settle(job->context, avow_none());
}

static avow_promise *job_start(avow_loop *loop, double seconds)
{
	avow_call call = avow_begin(loop, "job_start");
	struct job *job = avow_alloc(call.context, sizeof(*job));
	if (!job)
		return avow_end(call, false, ENOMEM);
	job->ev = avow_loop_ev(loop);
	job->context = call.context;
	ev_timer_init(&job->timer, job_done, seconds, 0.);
	job->timer.data = job;
	ev_timer_start(job->ev, &job->timer);
	avow_on_cancel(call.context, job_stop, job);
	return avow_end(call, true, 0);
}

/* A deadline: the slot is NULL by the time the job has come to its end. */
static avow_promise *pending_job;

static avow_value give_up(avow_value none, void *arg)
{
	(void)none, (void)arg;
	avow_cancel(pending_job);
	return avow_none();
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	avow_promise *p, *q;
	if (!loop)
		return 1;

	/* Cancelling the end of a chain goes up to the work. */
	p = avow_then(job_start(loop, 10.), print, "job");
	p = avow_finally(p, clean, "job");
	avow_catch(p, explain, "job");
	avow_cancel(p);

	/* Another branch still wants it: only this one is given up. */
	p = avow_delay(loop, 0.002);
	q = avow_then(p, print, "first branch");
	avow_catch(q, explain, "first branch");
	avow_then(p, print, "second branch");
	avow_cancel(q);

	/* A shield stops the climb. */
	p = avow_delay(loop, 0.003);
	q = avow_shield(p);
	avow_then(p, print, "shielded");
	avow_cancel(q);

	p = job_start(loop, 10.);
	avow_slot(p, &pending_job);
	avow_catch(p, explain, "slow job");
	avow_then(avow_delay(loop, 0.004), give_up, NULL);

	ev_run(ev, 0);
	avow_loop_free(loop);
	return 0;
}
