/*
 * SPDX-License-Identifier: MIT
 *
 * photo_demo.c - download_photo() takes an error-first callback.  Two lines at
 * file scope and one line of code make it return a promise; the rest of the
 * file uses it: a photo that is there, one that is not, and one that the user
 * gives up on, whose socket is then closed by the cancellation.
 */
#include "demo.h"

#include "httpd.h"
#include "photo_promise.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

/* A photo, freed by photo_free(), and a callback `(int, photo *, void *)`. */
AVOW_TYPE(photo, photo *, photo_free);
AVOW_CALLBACK(on_photo, AVOW_ERR(int, photo_strerror), AVOW_OWN(photo),
	      AVOW_CTX(void *));

static avow_promise *fetch_photo(avow_loop *loop, client *c, const char *url)
{
	return AVOW_PROMISIFY(loop,
			      download_photo(c, url, on_photo, AVOW_CONTEXT));
}

/*
 * With cancellation.  The legacy library wants to be told which download to
 * stop, so the call keeps a note of it, in memory that the call owns.
 */
struct download_note {
	client *client;
	void *context;
};

static void stop_download(void *arg)
{
	const struct download_note *note = arg;

	download_cancel(note->client, note->context);
	avow_settle(note->context, avow_none()); /* no callback will come */
}

static int start_download(client *c, const char *url, void *context)
{
	struct download_note *note = avow_alloc(context, sizeof(*note));

	if (!note)
		return PHOTO_EMEMORY;
	*note = (struct download_note){ c, context };
	avow_on_cancel(context, stop_download, note);
	return download_photo(c, url, on_photo, context);
}

avow_promise *fetch_photo_or_stop(avow_loop *loop, client *c, const char *url)
{
	return AVOW_PROMISIFY(loop, start_download(c, url, AVOW_CONTEXT));
}


/* ----------------------------------------------------------- The program */

AVOW_CALLBACK(on_hangup, AVOW_CTX(void *));

struct album {
	avow_loop *loop;
	client *client;
	httpd *server;
	const struct httpd_page *cat;
	char url[64];
	avow_promise *slow; /* the download to give up on, or NULL */
	avow_promise *hangup;
	size_t shown_count, missing_count, hangup_count;
};

static const char *album_url(struct album *a, const char *path)
{
	snprintf(a->url, sizeof(a->url), "http://127.0.0.1:%u%s",
		 httpd_port(a->server), path);
	return a->url;
}

static avow_value show(avow_value value, void *arg)
{
	struct album *a = arg;
	const photo *p = photo_get(value);

	if (p->size != a->cat->size ||
	    memcmp(p->bytes, a->cat->bytes, p->size) != 0)
		return avow_error(EIO, "the photo has other bytes");
	printf("  finished: %s, %zu bytes\n", p->type, p->size);
	a->shown_count++;
	return avow_none();
}

static avow_value show_missing(avow_value error, void *arg)
{
	struct album *a = arg;

	printf("  download failed: %s\n", avow_message(error));
	a->missing_count++;
	return avow_none();
}

static avow_value fetch_cat(avow_value value, void *arg)
{
	struct album *a = arg;

	(void)value;
	puts("GET /cat.gif");

	avow_promise *p =
		fetch_photo(a->loop, a->client, album_url(a, "/cat.gif"));

	p = avow_then(p, show, a);
	puts("  started");
	return avow_await(p);
}

static avow_value fetch_dog(avow_value value, void *arg)
{
	struct album *a = arg;

	(void)value;
	puts("GET /dog.gif");

	avow_promise *p =
		fetch_photo(a->loop, a->client, album_url(a, "/dog.gif"));

	p = avow_then(p, show, a);
	p = avow_catch_code(p, &on_photo_domain, PHOTO_ENOTFOUND, show_missing,
			    a);
	puts("  started");
	return avow_await(p);
}

static avow_value give_up(avow_value value, void *arg)
{
	struct album *a = arg;

	puts("  cancelling");
	avow_cancel(a->slow);
	return value;
}

static avow_value show_hangup(avow_value value, void *arg)
{
	struct album *a = arg;

	puts("  the server saw its client hang up");
	a->hangup_count++;
	return value;
}

static avow_value show_cancelled(avow_value error, void *arg)
{
	struct album *a = arg;

	printf("  download failed: %s\n", avow_message(error));
	return avow_await(avow_then(a->hangup, show_hangup, a));
}

/* The server sends half of this one; after a moment nobody wants the rest. */
static avow_value fetch_slow(avow_value value, void *arg)
{
	struct album *a = arg;

	(void)value;
	puts("GET /slow.gif");
	a->hangup = avow_pending(a->loop);
	httpd_on_hangup(a->server, on_hangup, avow_context(a->hangup));

	avow_promise *p = fetch_photo_or_stop(a->loop, a->client,
					      album_url(a, "/slow.gif"));

	avow_slot(p, &a->slow);
	avow_finally(avow_delay(a->loop, 0.05), give_up, a);
	puts("  started");
	p = avow_catch_code(p, &avow_core_domain, AVOW_ECANCELLED,
			    show_cancelled, a);
	return avow_await(p);
}

/* Whatever has happened: without the server the loop has nothing to do. */
static void album_close(void *arg)
{
	struct album *a = arg;

	client_free(a->client);
	httpd_free(a->server);
}

static bool album_run(struct album *a)
{
	bool ok = true;
	avow_promise *p = avow_resolved(a->loop, avow_none());

	p = avow_then(p, fetch_cat, a);
	p = avow_then(p, fetch_dog, a);
	p = avow_then(p, fetch_slow, a);
	p = avow_attach(p, a, album_close);
	avow_catch(p, demo_failed, &ok);
	ev_run(avow_loop_ev(a->loop), 0);
	return ok && a->shown_count == 1 && a->missing_count == 1 &&
	       a->hangup_count == 1;
}

bool photo_demo(avow_loop *loop)
{
	static unsigned char cat[200000] = "GIF89a";
	const struct httpd_page pages[] = {
		{ "/cat.gif", "image/gif", cat, sizeof(cat), false },
		{ "/slow.gif", "image/gif", cat, sizeof(cat), true },
	};
	struct ev_loop *ev = avow_loop_ev(loop);
	struct album a = { .loop = loop, .cat = &pages[0] };

	for (size_t i = 6; i < sizeof(cat); i++)
		cat[i] = (unsigned char)(i * i >> 3);
	a.server = httpd_new(ev, pages, 2);
	a.client = client_new(ev, 5.);
	if (!a.server || !a.client) {
		perror("demo: cannot start the server or the client");
		album_close(&a);
		return false;
	}
	return album_run(&a);
}
