/*
 * SPDX-License-Identifier: MIT
 *
 * Aborting a request that is made of several promises, deadlines that stop the
 * work, and attempts until one succeeds.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>

/* Work that takes for ever, and says when it is stopped. */
static void stopped(void *name)
{
	printf("  %s: stopped\n", (const char *)name);
}

static avow_promise *slow(avow_loop *loop, char *name)
{
	avow_call call = avow_begin(loop, name);
	avow_on_cancel(call.context, stopped, name);
	return avow_end(call, true, 0);
}

static avow_value explain(avow_value error, void *name)
{
	printf("%s: %s\n", (const char *)name, avow_message(error));
	return avow_none();
}

static avow_value print(avow_value value, void *name)
{
	printf("%s: %d\n", (const char *)name, (int)avow_int_get(value));
	return avow_none();
}

/* One switch for all that a request has begun. */
static void request(avow_loop *loop, struct ev_loop *ev)
{
	avow_abort *stop = avow_abort_new(loop);
	if (!stop)
		return;
	avow_signal *signal = avow_abort_signal(stop);

	avow_promise *page[] = { slow(loop, "head"), slow(loop, "body") };
	avow_promise *p = avow_all(loop, page, 2, .signal = signal);
	avow_catch(p, explain, "page");
	p = avow_abortable(slow(loop, "log"), signal);
	avow_catch(p, explain, "entry");

	/* The client has gone away. */
	avow_abort_with(stop, avow_error(EPIPE, "the client is gone"));
	ev_run(ev, 0);
	avow_abort_free(stop);
}

/* Aborted by whoever comes first: the user, or the clock. */
static void user_or_clock(avow_loop *loop, struct ev_loop *ev)
{
	avow_abort *user = avow_abort_new(loop);
	if (!user)
		return;
	avow_signal *both[] = { avow_abort_signal(user),
				avow_signal_timeout(loop, 0.002) };
	avow_signal *either = avow_signal_any(loop, both, 2);

	avow_promise *p = avow_abortable(slow(loop, "search"), either);
	avow_catch(p, explain, "search");
	ev_run(ev, 0);
	avow_abort_free(user);
}

/* A deadline stops the work, and not only the waiting. */
static void deadline(avow_loop *loop, struct ev_loop *ev)
{
	avow_promise *p = avow_timeout(slow(loop, "query"), 0.002);
	avow_catch(p, explain, "query");
	ev_run(ev, 0);
}

/* Busy twice, and then it works. */
static avow_value fetch(avow_value attempt, void *arg)
{
	(void)arg;
	printf("  attempt %d\n", (int)avow_int_get(attempt));
	if (avow_int_get(attempt) < 3)
		return avow_error(EAGAIN, "busy");
	return avow_int(200);
}

static avow_value log_in(avow_value attempt, void *arg)
{
	(void)attempt, (void)arg;
	return avow_error(EACCES, "wrong password");
}

static avow_value is_busy(avow_value error, void *arg)
{
	(void)arg;
	return avow_bool(avow_error_is(error, &avow_errno_domain, EAGAIN));
}

static avow_value refuse(avow_value attempt, void *arg)
{
	(void)attempt, (void)arg;
	return avow_error(ECONNREFUSED, "refused");
}

static void retries(avow_loop *loop, struct ev_loop *ev)
{
	avow_promise *p;

	p = avow_retry(loop, fetch, NULL, .first = 0.001, .when = is_busy);
	avow_then(p, print, "fetch");
	ev_run(ev, 0);

	/* Another attempt is not worth it. */
	p = avow_retry(loop, log_in, NULL, .first = 0.001, .when = is_busy);
	avow_catch(p, explain, "log in");
	ev_run(ev, 0);

	p = avow_retry(loop, refuse, NULL, .attempts = 3, .first = 0.001);
	avow_catch(p, explain, "connect");
	ev_run(ev, 0);
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	if (!loop)
		return 1;

	request(loop, ev);
	user_or_clock(loop, ev);
	deadline(loop, ev);
	retries(loop, ev);

	avow_loop_free(loop);
	return 0;
}
