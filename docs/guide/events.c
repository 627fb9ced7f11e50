/*
 * SPDX-License-Identifier: MIT
 *
 * Events: listeners and when they run, the next event as a promise, a clock
 * that stops, events one after the other, the end of a child process, Ctrl-C.
 * Quoted by docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void hear(avow_value value, void *name)
{
	printf("%s hears %s\n", (const char *)name, avow_str_get(value));
}

static avow_value promised(avow_value value, void *arg)
{
	(void)arg;
	printf("the promise has %s\n", avow_str_get(value));
	return avow_none();
}

static avow_value explain(avow_value error, void *arg)
{
	(void)arg;
	printf("failed: %s\n", avow_message(error));
	return avow_none();
}

static void listeners(struct ev_loop *ev, avow_emitter *radio)
{
	avow_emitter_on(radio, "news", hear, "Ada");
	avow_emitter_once(radio, "news", hear, "Bob");
	avow_then(avow_once(radio, "news"), promised, NULL);

	puts("before");
	avow_emitter_emit(radio, "news", avow_str("rain"));
	puts("after");
	ev_run(ev, 0);

	avow_emitter_emit(radio, "news", avow_str("sun"));
	avow_emitter_off(radio, "news", hear, "Ada");
	printf("%zu hear snow\n",
	       avow_emitter_emit(radio, "news", avow_str("snow")));
}

static void failure(struct ev_loop *ev, avow_emitter *radio)
{
	/* An "error" rejects whoever waits for something else. */
	avow_catch(avow_once(radio, "news"), explain, NULL);
	avow_emitter_emit(radio, "error", avow_error(EIO, "no signal"));
	ev_run(ev, 0);
}

static void count_down(avow_value number, void *clock)
{
	const int left = 3 - (int)avow_int_get(number);
	printf("%d\n", left);
	if (!left)
		avow_emitter_off(clock, "tick", count_down, clock);
}

static avow_value next(avow_value number, void *ticks)
{
	printf("tick %d\n", (int)avow_int_get(number));
	if (avow_int_get(number) == 6)
		return avow_none();
	return avow_await(avow_then(avow_events_next(ticks), next, ticks));
}

static int clocks(struct ev_loop *ev, avow_loop *loop)
{
	/* It keeps the loop running while somebody listens. */
	avow_emitter *clock = avow_interval(loop, 0.001);
	if (!clock)
		return 1;
	avow_emitter_on(clock, "tick", count_down, clock);
	ev_run(ev, 0);

	/* One after the other. */
	avow_events *ticks = avow_events_new(clock, "tick", .limit = 64);
	if (!ticks)
		return 1;
	const avow_value last =
		avow_wait(avow_then(avow_events_next(ticks), next, ticks));
	avow_events_free(ticks);
	avow_emitter_free(clock);
	return avow_is_error(last);
}

static avow_value ended(avow_value status, void *arg)
{
	const int code = (int)avow_int_get(status);
	(void)arg;
	if (WIFEXITED(code))
		printf("the child ended with %d\n", WEXITSTATUS(code));
	return avow_none();
}

static int child(struct ev_loop *ev, avow_loop *loop)
{
	const pid_t pid = fork();
	if (pid < 0)
		return 1;
	if (!pid)
		_exit(7);

	avow_promise *p = avow_exited(loop, pid);
	p = avow_then(p, ended, NULL);
	avow_catch(p, explain, NULL);
	ev_run(ev, 0);
	return 0;
}

/* Ctrl-C stops the work; the end of the work lets go of the signal. */
static avow_promise *until_interrupted(avow_loop *loop, avow_promise *work)
{
	avow_promise *both[] = { work, avow_signalled(loop, SIGINT) };
	return avow_race(loop, both, 2, .cancel_losers = true);
}

static avow_value outcome(avow_value value, void *arg)
{
	(void)arg;
	puts(avow_is_none(value) ? "the work has ended" : "interrupted");
	return avow_none();
}

static avow_value interrupt(avow_value value, void *arg)
{
	(void)arg;
	raise(SIGINT);
	return value;
}

static void interruptions(struct ev_loop *ev, avow_loop *loop)
{
	avow_then(until_interrupted(loop, avow_delay(loop, 0.001)), outcome,
		  NULL);
	ev_run(ev, 0);

	avow_then(until_interrupted(loop, avow_delay(loop, 3600)), outcome,
		  NULL);
	avow_then(avow_delay(loop, 0.001), interrupt, NULL);
	ev_run(ev, 0);
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	avow_emitter *radio = loop ? avow_emitter_new(loop) : NULL;
	if (!radio)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);

	listeners(ev, radio);
	failure(ev, radio);
	if (clocks(ev, loop) || child(ev, loop))
		return 1;
	interruptions(ev, loop);

	avow_emitter_free(radio);
	avow_loop_free(loop);
	return 0;
}
