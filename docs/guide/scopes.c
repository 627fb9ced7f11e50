/*
 * SPDX-License-Identifier: MIT
 *
 * Scopes: a group that is joined, resources that are released whatever happens,
 * two at a time, a queue between a producer and a consumer, and so many in a
 * time.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>

static avow_value print(avow_value value, void *label)
{
	printf("%s: %s\n", (const char *)label,
	       avow_is_none(value) ? "done" : avow_message(value));
	return avow_none();
}

/* --------------------------------------------------------------- A group */

struct server {
	avow_loop *loop;
	avow_group *group;
	int accepted, answered;
};

static avow_value answered(avow_value value, void *arg)
{
	struct server *server = arg;
	(void)value;
	printf("answered %d\n", ++server->answered);
	return avow_none();
}

/* Each connection is a member, and so is the one who accepts them. */
static avow_value on_accept(avow_value none, void *arg)
{
	struct server *server = arg;
	(void)none;
	server->accepted++;
	avow_group_add(server->group,
		       avow_then(avow_delay(server->loop, 0.005), answered,
				 server));
	if (server->accepted == 3)
		return avow_none();	/* stops listening */
	return avow_await(avow_then(avow_delay(server->loop, 0.001), on_accept,
				    server));
}

static avow_value fail(avow_value value, void *arg)
{
	(void)value, (void)arg;
	return avow_error(EIO, "the disk is on fire");
}

static avow_value stopped(avow_value outcome, void *label)
{
	if (avow_is_cancelled(outcome))
		printf("%s: cancelled\n", (const char *)label);
	return outcome;
}

/* ------------------------------------------------------------- Resources */

static avow_value connect_db(avow_value none, void *arg)
{
	(void)none, (void)arg;
	puts("connect");
	return avow_str("connection");
}

static avow_value disconnect_db(avow_value connection, void *arg)
{
	(void)arg;
	printf("close the %s\n", avow_str_get(connection));
	return avow_none();
}

static avow_value begin_tx(avow_value connection, void *arg)
{
	(void)arg;
	printf("begin on the %s\n", avow_str_get(connection));
	return avow_str("transaction");
}

static avow_value end_tx(avow_value tx, void *arg)
{
	avow_loop *loop = arg;
	printf("end the %s\n", avow_str_get(tx));
	return avow_await(avow_delay(loop, 0.001));	/* is waited for */
}

static avow_value transfer(avow_value tx, void *arg)
{
	(void)arg;
	printf("transfer in the %s\n", avow_str_get(tx));
	return avow_error(EDOM, "not that much money");
}

/* --------------------------------------------------------------- A limit */

static int at_work;

static avow_value fetched(avow_value value, void *arg)
{
	(void)arg;
	at_work--;
	return value;
}

static avow_value fetch(avow_value none, void *url)
{
	avow_loop *loop = avow_loop_current();
	(void)none;
	printf("fetch %s, %d at a time\n", (const char *)url, ++at_work);
	return avow_await(avow_finally(avow_delay(loop, 0.001), fetched, NULL));
}

/* --------------------------------------------------------------- A queue */

struct pipeline {
	avow_loop *loop;
	avow_queue *queue;
	int made;
};

static avow_value produce(avow_value none, void *arg)
{
	struct pipeline *pipe = arg;
	(void)none;
	if (pipe->made == 4) {
		avow_queue_close(pipe->queue);
		return avow_none();
	}
	printf("made %d, %zu in the queue\n", ++pipe->made,
	       avow_queue_count(pipe->queue));
	return avow_await(avow_then(avow_queue_push(pipe->queue,
						    avow_int(pipe->made)),
				    produce, pipe));
}

static avow_value consume(avow_value none, void *arg);

static avow_value used(avow_value number, void *arg)
{
	struct pipeline *pipe = arg;
	printf("used %d\n", (int)avow_int_get(number));
	return avow_await(avow_then(avow_delay(pipe->loop, 0.001), consume,
				    pipe));
}

static avow_value consume(avow_value none, void *arg)
{
	struct pipeline *pipe = arg;
	(void)none;
	return avow_await(avow_then(avow_queue_pop(pipe->queue), used, pipe));
}

static avow_value finished(avow_value error, void *arg)
{
	(void)error, (void)arg;
	puts("the queue is closed and empty");
	return avow_none();
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	avow_promise *p;
	if (!loop)
		return 1;

	/* Runs as long as anything in it does. */
	struct server server = { loop, avow_group_new(loop), 0, 0 };
	if (!server.group)
		return 1;
	avow_group_add(server.group,
		       avow_then(avow_delay(loop, 0.001), on_accept, &server));
	avow_then(avow_group_join(server.group), print, "server");
	ev_run(ev, 0);
	avow_group_free(server.group);

	/* One fails, the others are cancelled. */
	avow_group *group = avow_group_new(loop);
	if (!group)
		return 1;
	avow_group_add(group, avow_finally(avow_delay(loop, 10.), stopped,
					   "slow one"));
	avow_group_add(group, avow_then(avow_delay(loop, 0.001), fail, NULL));
	avow_catch(avow_group_join(group), print, "group");
	ev_run(ev, 0);
	avow_group_free(group);

	/* Released in reverse order, whatever happens. */
	const avow_resource needed[] = {
		{ connect_db, disconnect_db, loop },
		{ begin_tx, end_tx, loop },
	};
	p = avow_using(loop, needed, 2, transfer, NULL);
	avow_catch(p, print, "transfer");
	ev_run(ev, 0);

	/* Two at a time. */
	static char *const urls[] = { "a", "b", "c", "d" };
	avow_semaphore *two = avow_semaphore_new(loop, 2);
	if (!two)
		return 1;
	for (int i = 0; i < 4; i++)
		avow_limit(two, fetch, urls[i]);
	ev_run(ev, 0);
	avow_semaphore_free(two);

	/* Ahead by two, and no more. */
	struct pipeline pipe = { loop, avow_queue_new(loop, 2), 0 };
	if (!pipe.queue)
		return 1;
	p = avow_resolved(loop, avow_none());
	avow_then(p, produce, &pipe);
	avow_catch_code(avow_then(p, consume, &pipe), &avow_core_domain,
			AVOW_ECLOSED, finished, NULL);
	ev_run(ev, 0);
	avow_queue_free(pipe.queue);

	/* Two at once, and then one each half a millisecond. */
	avow_rate *rate = avow_rate_new(loop, 2, 0.001);
	if (!rate)
		return 1;
	for (int i = 0; i < 3; i++)
		avow_then(avow_rate_acquire(rate), print, "request");
	ev_run(ev, 0);
	avow_rate_free(rate);

	avow_loop_free(loop);
	return 0;
}
