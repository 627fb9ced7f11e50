/*
 * SPDX-License-Identifier: MIT
 *
 * avow in a program that has a libev loop of its own: watchers and promises
 * side by side, a stepper, a wait in straight-line code, the end.  Quoted by
 * docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <unistd.h>

static avow_value greet(avow_value text, void *arg)
{
	(void)arg;
	printf("a line came: %s\n", avow_str_get(text));
	return avow_none();
}

static avow_value explain(avow_value error, void *arg)
{
	(void)arg;
	printf("failed: %s\n", avow_message(error));
	return avow_none();
}

/* Reads until there is something: called again when the pipe is ready. */
static avow_value read_step(avow_value events, void *arg)
{
	const int fd = *(const int *)arg;
	char text[80];

	if (!avow_int_get(events))
		return avow_until(fd, AVOW_READ, 5.);
	if (avow_int_get(events) & AVOW_TIMEOUT)
		return avow_error(ETIMEDOUT, "nothing came");
	ssize_t size = read(fd, text, sizeof(text));
	return size < 0 ? avow_errno(errno) : avow_bytes(text, (size_t)size);
}

static void tick(struct ev_loop *ev, ev_timer *timer, int revents)
{
	const int fd = *(const int *)timer->data;
	(void)revents;
	ev_timer_stop(ev, timer);
	if (write(fd, "hello", 5) != 5)
		ev_break(ev, EVBREAK_ALL);
}

int main(void)
{
	struct ev_loop *ev = ev_loop_new(EVFLAG_AUTO);	/* the program's */
	avow_loop *loop = avow_loop_new(ev);
	int ends[2];
	ev_timer timer;
	if (!loop || pipe(ends))
		return 1;

	/* The program's own watchers go on as before. */
	ev_timer_init(&timer, tick, 0.001, 0.);
	timer.data = &ends[1];
	ev_timer_start(ev, &timer);

	avow_promise *p = avow_drive(loop, read_step, &ends[0]);
	p = avow_then(p, greet, NULL);
	avow_catch(p, explain, NULL);

	ev_run(ev, 0);		/* returns when nothing is left to wait for */

	/* In a tool or a test: run the loop until one promise has settled. */
	avow_value value = avow_wait(avow_delay(loop, 0.001));
	printf("waited: %s\n", avow_is_error(value) ? "failed" : "fine");

	/* Nothing could settle this one: an error, not a hang. */
	p = avow_pending(loop);
	value = avow_wait(p);
	printf("waited: %s\n",
	       avow_error_is(value, &avow_core_domain, AVOW_EDEADLOCK) ?
		       "for nothing" : "fine");
	avow_cancel(p);

	avow_loop_free(loop);	/* first the promises, then the loop below */
	ev_loop_destroy(ev);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
