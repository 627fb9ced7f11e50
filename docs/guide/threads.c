/*
 * SPDX-License-Identifier: MIT
 *
 * A result from another thread: the context of a call may be settled from
 * anywhere, and wakes the loop it belongs to.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* The callback API: calls back on a thread of its own. */
typedef void sum_fn(int err, long sum, void *ctx);

struct summing {
	long count;
	sum_fn *done;
	void *ctx;
};

static void *sum_run(void *arg)
{
	struct summing *s = arg;
	long sum = 0;
	for (long i = 1; i <= s->count; i++)
		sum += i;
	s->done(0, sum, s->ctx);
	free(s);
	return NULL;
}

static int sum_start(long count, sum_fn *done, void *ctx)
{
	pthread_t thread;
	struct summing *s = malloc(sizeof(*s));
	if (!s)
		return ENOMEM;
	*s = (struct summing){ count, done, ctx };
	int code = pthread_create(&thread, NULL, sum_run, s);
	if (code)
		free(s);
	else
		pthread_detach(thread);
	return code;
}

AVOW_CALLBACK(on_sum, AVOW_ERR_IN(int, avow_errno_domain), AVOW_NUM(long),
	      AVOW_CTX(void *));

static avow_promise *sum(avow_loop *loop, long count)
{
	return AVOW_PROMISIFY(loop, sum_start(count, on_sum,
					      avow_threaded(AVOW_CONTEXT)));
}

static avow_value print(avow_value value, void *arg)
{
	(void)arg;
	printf("the sum is %ld\n", (long)avow_int_get(value));
	return avow_none();
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	if (!loop)
		return 1;

	avow_then(sum(loop, 1000), print, NULL);
	ev_run(ev, 0);		/* stays until the other thread has settled */

	avow_loop_free(loop);
	return 0;
}
