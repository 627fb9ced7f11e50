/*
 * SPDX-License-Identifier: MIT
 *
 * Who frees what: a typed value, a branch, a copied argument, an attached
 * resource, a hold.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct photo {
	int width;
} photo;

static int photo_count;

static photo *photo_new(int width)
{
	photo *p = malloc(sizeof(*p));
	if (!p)
		abort();
	p->width = width;
	photo_count++;
	return p;
}

static void photo_free(photo *p)
{
	free(p);
	photo_count--;
}

/* A promise of a photo owns it, and frees it with photo_free(). */
AVOW_TYPE(photo, photo *, photo_free);

static avow_value shoot(avow_value none, void *arg)
{
	(void)none, (void)arg;
	return photo_value(photo_new(640));
}

static avow_value look(avow_value value, void *arg)
{
	const photo *p = photo_get(value);	/* borrowed */
	printf("%s: %d wide\n", (const char *)arg, p->width);
	return avow_none();
}

static avow_value pass(avow_value value, void *arg)
{
	(void)arg;
	return value;				/* passed through */
}

static avow_value keep(avow_value value, void *arg)
{
	photo **album = arg;
	*album = photo_take(value);		/* ours from here on */
	return avow_none();
}

static avow_value hand_over(avow_value value, void *other)
{
	avow_resolve(other, avow_take(value));	/* and not just value */
	return avow_none();
}

/* What the whole chain needs travels with it, by value. */
struct frame {
	const char *title;
	int border;
};

static avow_value framed(avow_value value, void *arg)
{
	const struct frame *f = arg;
	printf("%s: %d wide\n", f->title,
	       photo_get(value)->width + 2 * f->border);
	return avow_none();
}

static void close_file(void *file)
{
	fclose(file);
	puts("file closed");
}

static avow_promise *ready;	/* held: attached to in later callbacks */

static void later(int revents, void *arg)
{
	(void)revents, (void)arg;
	avow_then(ready, look, "later");
	avow_release(ready);
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	photo *album = NULL;
	if (!loop)
		return 1;

	/* One consumer: passed on, then taken, and nobody copies a byte. */
	avow_promise *p = avow_then(avow_delay(loop, 0.001), shoot, NULL);
	p = avow_then(p, pass, NULL);
	avow_then(p, keep, &album);

	/* Given away otherwise than by returning it: taken first. */
	avow_promise *other = avow_pending(loop);
	avow_then(other, look, "handed over");
	p = avow_then(avow_delay(loop, 0.0015), shoot, NULL);
	avow_then(p, hand_over, other);

	/* Two branches borrow the same photo; the promise frees it. */
	p = avow_then(avow_delay(loop, 0.002), shoot, NULL);
	avow_then(p, look, "branch");
	avow_then_copy(p, framed, &((struct frame){ "framed", 5 }));

	/* A file that is open for as long as the chain needs it. */
	FILE *file = tmpfile();
	if (!file)
		return 1;
	p = avow_then(avow_delay(loop, 0.003), shoot, NULL);
	avow_attach(avow_then(p, look, "with a file"), file, close_file);

	/* Attached to in a later callback, so it is held. */
	ready = avow_then(avow_delay(loop, 0.001), shoot, NULL);
	avow_hold(ready);
	ev_once(ev, -1, 0, 0.005, later, NULL);

	ev_run(ev, 0);
	if (!album)
		return 1;
	printf("in the album: %d wide\n", album->width);
	photo_free(album);
	avow_loop_free(loop);
	printf("photos left: %d\n", photo_count);
	return photo_count != 0;
}
