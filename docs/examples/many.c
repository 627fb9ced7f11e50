/*
 * SPDX-License-Identifier: MIT
 *
 * many.c - a dozen photos, four at a time: each tried twice, each try with a
 * deadline, and all of them stopped by one switch.  The server never finishes
 * one of the photos; its socket is closed by the deadline.
 */
#include "demo.h"

#include "httpd.h"
#include "photo_promise.h"

#include <ev.h>
#include <stdio.h>

enum { PHOTO_COUNT = 12, SLOW_ONE = 5, AT_A_TIME = 4 };

struct gallery {
	avow_loop *loop;
	client *client;
	httpd *server;
	avow_abort *stop;
	size_t running, running_most; /* downloads at work */
	size_t tries, hangups;
	bool is_done, is_aborted;
};

/* One photo, as an argument that travels with its promises. */
struct wanted {
	struct gallery *gallery;
	size_t index;
};

static void count_hangup(void *gallery)
{
	((struct gallery *)gallery)->hangups++;
}

static avow_value no_longer_running(avow_value outcome, void *arg)
{
	struct gallery *g = arg;

	g->running--;
	return outcome;
}

static avow_value try_once(avow_value attempt, void *arg)
{
	const struct wanted *w = arg;
	struct gallery *g = w->gallery;
	char url[64];

	(void)attempt;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/%s.gif",
		 httpd_port(g->server), w->index == SLOW_ONE ? "slow" : "cat");
	g->tries++;
	if (++g->running > g->running_most)
		g->running_most = g->running;

	avow_promise *p = fetch_photo_or_stop(g->loop, g->client, url);

	p = avow_timeout(p, 0.1);
	return avow_await(avow_finally(p, no_longer_running, g));
}

static avow_value size_of(avow_value value, void *arg)
{
	(void)arg;
	return avow_int((int64_t)photo_get(value)->size);
}

/* The argument lives as long as the promise that this returns is pending. */
static avow_value try_twice(avow_value none, void *arg)
{
	const struct wanted *w = arg;

	(void)none;
	return avow_await(avow_retry(w->gallery->loop, try_once, arg,
				     .attempts = 2, .first = 0.01));
}

static avow_value fetch_one(avow_value index, void *arg)
{
	struct gallery *g = arg;
	const struct wanted w = { g, (size_t)avow_int_get(index) };
	avow_promise *p = avow_resolved(g->loop, avow_none());

	p = avow_then_copy(p, try_twice, &w);
	return avow_await(avow_then(p, size_of, NULL));
}

/* An error is an item of the list, because the map collects. */
static avow_value show_all(avow_value list, void *arg)
{
	struct gallery *g = arg;
	size_t there = 0;
	size_t i;

	for (i = 0; i < avow_list_count(list); i++) {
		const avow_value item = avow_list_at(list, i);

		if (avow_is_error(item))
			printf("  photo %zu: %s\n", i, avow_message(item));
		else
			there++;
	}
	printf("  %zu photos in %zu tries, %zu at a time at most\n", there,
	       g->tries, g->running_most);
	g->is_done = there == PHOTO_COUNT - 1 && g->tries == PHOTO_COUNT + 1 &&
		     g->running_most == AT_A_TIME;
	return avow_none();
}

static avow_value show_end(avow_value error, void *arg)
{
	struct gallery *g = arg;

	printf("  all of it ended: %s\n", avow_message(error));
	g->is_aborted = avow_is_cancelled(error);
	return avow_none();
}

static avow_value press_stop(avow_value none, void *arg)
{
	struct gallery *g = arg;

	printf("  stop, with %zu downloads at work\n", g->running);
	avow_abort_with(g->stop, avow_none());
	return none;
}

/* The second time somebody loses patience. */
static avow_value again(avow_value none, void *arg)
{
	struct gallery *g = arg;
	avow_promise *p = avow_map(g->loop, PHOTO_COUNT, fetch_one, g,
				   .limit = AT_A_TIME, .collect = true,
				   .signal = avow_abort_signal(g->stop));

	(void)none;
	avow_then(avow_immediate(g->loop), press_stop, g);
	return avow_await(avow_catch(p, show_end, g));
}

static void gallery_close(void *arg)
{
	struct gallery *g = arg;

	avow_abort_free(g->stop);
	client_free(g->client);
	httpd_free(g->server);
}

static bool gallery_run(struct gallery *g)
{
	bool ok = true;
	avow_promise *p = avow_map(g->loop, PHOTO_COUNT, fetch_one, g,
				   .limit = AT_A_TIME, .collect = true);

	p = avow_then(p, show_all, g);
	p = avow_then(p, again, g);
	p = avow_attach(p, g, gallery_close);
	avow_catch(p, demo_failed, &ok);
	ev_run(avow_loop_ev(g->loop), 0);
	return ok && g->is_done && g->is_aborted && !g->running &&
	       g->hangups >= 1;
}

bool many_demo(avow_loop *loop)
{
	static const unsigned char cat[200000] = "GIF89a";
	static const struct httpd_page pages[] = {
		{ "/cat.gif", "image/gif", cat, sizeof(cat), false },
		{ "/slow.gif", "image/gif", cat, sizeof(cat), true },
	};
	struct ev_loop *ev = avow_loop_ev(loop);
	struct gallery g = { .loop = loop };

	g.server = httpd_new(ev, pages, 2);
	g.client = client_new(ev, 5.);
	g.stop = avow_abort_new(loop);
	if (!g.server || !g.client || !g.stop) {
		perror("demo: cannot start the server or the client");
		gallery_close(&g);
		return false;
	}
	httpd_on_hangup(g.server, count_hangup, &g);
	return gallery_run(&g);
}
