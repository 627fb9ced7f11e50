/*
 * SPDX-License-Identifier: MIT
 *
 * Collections and loops: a map that keeps to its limit, items that are pulled
 * line by line, a filter, reduce, and a loop until it is done.  Quoted by
 * docs/guide.md.
 */
#include <avow.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

static avow_value print(avow_value value, void *label)
{
	printf("%s: ", (const char *)label);
	if (!avow_is(value, &avow_list_type))
		printf("%s", avow_message(value));
	for (size_t i = 0;
	     avow_is(value, &avow_list_type) && i < avow_list_count(value); i++)
		printf("%s%s", i ? ", " : "",
		       avow_message(avow_list_at(value, i)));
	putchar('\n');
	return avow_none();
}

/* ------------------------------------------------------------------ A limit */

struct crawl {
	avow_loop *loop;
	const char *const *urls;
	int running, most; /* downloads */
};

static avow_value download_ended(avow_value outcome, void *arg)
{
	struct crawl *c = arg;
	c->running--;
	return outcome;
}

static avow_value give_size(avow_value value, void *url)
{
	(void)value;
	return avow_int((int64_t)strlen(url));
}

/* A download of our own: it takes a while, and gives a size. */
static avow_promise *download(struct crawl *c, const char *url)
{
	if (++c->running > c->most)
		c->most = c->running;
	avow_promise *p = avow_delay(c->loop, 0.0001 * (double)strlen(url));
	p = avow_then(p, give_size, (void *)(uintptr_t)url);
	return avow_finally(p, download_ended, c);
}

static avow_value fetch(avow_value index, void *arg)
{
	struct crawl *c = arg;
	return avow_await(download(c, c->urls[avow_int_get(index)]));
}

/* ------------------------------------------------------------ Back-pressure */

/* Lines of a text that is read as it is needed. */
struct reader {
	avow_loop *loop;
	const char *rest;
	int read, stored; /* lines */
};

static avow_value next_line(avow_value index, void *arg)
{
	struct reader *r = arg;
	const char *line = r->rest;
	const size_t size = strcspn(line, "\n");
	(void)index;
	if (!*line)
		return avow_done(avow_none());
	r->rest += size + (line[size] == '\n');
	r->read++;
	return avow_bytes(line, size);
}

static avow_value stored(avow_value value, void *arg)
{
	struct reader *r = arg;
	r->stored++;
	return value;
}

static avow_value store(avow_value line, void *arg)
{
	struct reader *r = arg;
	/* Never more lines in memory than are being stored. */
	printf("store \"%s\", %d ahead\n", avow_str_get(line),
	       r->read - r->stored);
	return avow_await(avow_then(avow_delay(r->loop, 0.001), stored, r));
}

static avow_value is_remark(avow_value line, void *arg)
{
	(void)arg;
	return avow_bool(*avow_str_get(line) == '#');
}

/* -------------------------------------------------------------------- Loops */

static avow_value add_words(avow_value sum, avow_value line, void *arg)
{
	int64_t words = avow_int_get(sum);
	(void)arg;
	for (const char *c = avow_str_get(line); *c; c++)
		words += *c != ' ' && (c[1] == ' ' || !c[1]);
	return avow_int(words);
}

/* A server that gives its answer page by page, each with a cursor. */
struct shelf {
	avow_loop *loop;
	int books;
};

static avow_value on_page(avow_value value, void *arg)
{
	struct shelf *s = arg;
	(void)value;
	s->books += 10;
	if (s->books < 30)
		return avow_int(s->books); /* the next cursor */
	return avow_done(avow_int(s->books));
}

static avow_value next_page(avow_value cursor, void *arg)
{
	struct shelf *s = arg;
	printf("ask for what follows %s\n",
	       avow_is_none(cursor) ? "nothing" : avow_message(cursor));
	return avow_await(avow_then(avow_delay(s->loop, 0.001), on_page, s));
}

int main(void)
{
	static const char *const urls[] = { "/cat", "/", "/goldfish", "/dog",
					    "/parrot" };
	static const char text[] = "# animals\ncat and dog\nparrot\n# end\n";
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	if (!loop)
		return 1;

	struct crawl c = { loop, urls, 0, 0 };
	avow_promise *p = avow_map(loop, 5, fetch, &c, .limit = 2);
	avow_then(p, print, "sizes");
	ev_run(ev, 0);
	printf("at most %d at a time\n", c.most);

	struct reader r = { loop, text, 0, 0 };
	p = avow_each(loop, AVOW_UNTIL_DONE, store, &r, .limit = 2,
		      .pull = next_line, .from = &r);
	avow_then(p, print, "lines stored");
	ev_run(ev, 0);

	r.rest = text;
	p = avow_filter(loop, AVOW_UNTIL_DONE, is_remark, NULL,
			.pull = next_line, .from = &r);
	avow_then(p, print, "remarks");
	ev_run(ev, 0);

	r.rest = text;
	p = avow_reduce(loop, AVOW_UNTIL_DONE, add_words, NULL,
			.pull = next_line, .from = &r, .initial = avow_int(0));
	avow_then(p, print, "words");
	ev_run(ev, 0);

	struct shelf s = { loop, 0 };
	p = avow_repeat(loop, next_page, &s);
	avow_then(p, print, "books");
	ev_run(ev, 0);

	avow_loop_free(loop);
	return 0;
}
