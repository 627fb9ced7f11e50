/*
 * SPDX-License-Identifier: MIT
 *
 * convert.c - convert your own API in ten minutes: find the shape of its
 * callback and of what its start function returns below, and copy the few
 * lines under "converted".  What stands under "legacy" are stand-ins, as short
 * as they can be; some call back at once and some later, which is all the same
 * to a promise.
 *
 * The program runs every shape once, prints what came of it, and fails when
 * that is not what it should be.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>


/* -------------------------- 0 is started, error first, a number: the usual */

/* legacy */
static int count_stock(const char *item, void (*cb)(int err, int n, void *ctx),
		       void *ctx)
{
	if (*item == '\0')
		return EINVAL; /* not started: no callback */
	cb(strcmp(item, "nails") == 0 ? 0 : ENOENT, 120, ctx);
	return 0;
}

/* converted */
AVOW_CALLBACK(on_stock, AVOW_ERR_IN(int, avow_errno_domain), AVOW_NUM(int),
	      AVOW_CTX(void *));

static avow_promise *stock(avow_loop *loop, const char *item)
{
	return AVOW_PROMISIFY(loop, count_stock(item, on_stock, AVOW_CONTEXT));
}

static avow_promise *zero_is_started(avow_loop *loop)
{
	return stock(loop, "nails");
}

static avow_promise *zero_with_error(avow_loop *loop)
{
	return stock(loop, "unicorns");
}

static avow_promise *zero_not_started(avow_loop *loop)
{
	return stock(loop, "");
}


/* ----------------------------------- true is started, and no result at all */

/* legacy */
static bool lamp_switch(bool on, void (*cb)(void *ctx, int err), void *ctx)
{
	cb(ctx, on ? 0 : EBUSY);
	return true;
}

/* converted */
AVOW_CALLBACK(on_lamp, AVOW_CTX(void *), AVOW_ERR_IN(int, avow_errno_domain));

static avow_promise *bool_is_started(avow_loop *loop)
{
	return AVOW_PROMISIFY_TRUE(loop,
				   lamp_switch(true, on_lamp, AVOW_CONTEXT));
}


/* ----------------- an id is started, below 0 is not; codes below 0 as well */

/* legacy */
static int query_send(int number, void (*cb)(int id, long answer, void *ctx),
		      void *ctx)
{
	static int last_id;

	cb(number < 0 ? -EDOM : ++last_id, 2L * number, ctx);
	return last_id;
}

/* converted: the id, which is an error below 0, is of no interest itself */
AVOW_CALLBACK(on_answer, AVOW_NEGERR_IN(int, avow_errno_domain), AVOW_NUM(long),
	      AVOW_CTX(void *));

static avow_promise *id_is_started(avow_loop *loop)
{
	return AVOW_PROMISIFY_ID(loop, query_send(21, on_answer, AVOW_CONTEXT));
}

static avow_promise *id_with_error(avow_loop *loop)
{
	return AVOW_PROMISIFY_ID(loop, query_send(-1, on_answer, AVOW_CONTEXT));
}


/* -------------------------- a pointer is started; a number with a fraction */

/* legacy */
struct job {
	ev_timer timer;
	void (*cb)(const void *ctx, double seconds);
	const void *ctx;
};

static void job_end(struct ev_loop *ev, ev_timer *timer, int events)
{
	struct job *j = timer->data;

	(void)ev;
	(void)events;
	j->cb(j->ctx, 0.25);
	free(j);
}

static struct job *job_submit(struct ev_loop *ev,
			      void (*cb)(const void *ctx, double seconds),
			      const void *ctx)
{
	struct job *j = malloc(sizeof(*j));

	if (!j)
		return NULL;
	j->cb = cb;
	j->ctx = ctx;
	ev_timer_init(&j->timer, job_end, 0.01, 0.);
	j->timer.data = j;
	ev_timer_start(ev, &j->timer);
	return j;
}

/* converted */
AVOW_CALLBACK(on_job, AVOW_CTX(const void *), AVOW_NUM(double));

static avow_promise *pointer_is_started(avow_loop *loop)
{
	return AVOW_PROMISIFY_PTR(loop, job_submit(avow_loop_ev(loop), on_job,
						   AVOW_CONTEXT));
}


/* ------------------------------- void: it always starts; libev's ev_once() */

/* converted */
AVOW_CALLBACK(on_once, AVOW_NUM(int), AVOW_CTX(void *));

static avow_promise *void_is_started(avow_loop *loop)
{
	return AVOW_PROMISIFY_VOID(loop, ev_once(avow_loop_ev(loop), -1, 0,
						 0.01, on_once, AVOW_CONTEXT));
}


/* ----------------------------- a result that becomes ours: we must free it */

/* legacy */
static int name_find(int id, void (*cb)(int err, char *name, void *ctx),
		     void *ctx)
{
	char *name = strdup(id == 1 ? "Ada" : "nobody");

	cb(name ? 0 : ENOMEM, name, ctx);
	return 0;
}

/* converted: once for the type, once for the callback */
AVOW_TYPE(name, char *, free);
AVOW_CALLBACK(on_name, AVOW_ERR_IN(int, avow_errno_domain), AVOW_OWN(name),
	      AVOW_CTX(void *));

static avow_value name_text(avow_value value, void *arg)
{
	(void)arg;
	return avow_str(name_get(value));
}

static avow_promise *result_is_owned(avow_loop *loop)
{
	avow_promise *p =
		AVOW_PROMISIFY(loop, name_find(1, on_name, AVOW_CONTEXT));

	return avow_then(p, name_text, NULL);
}


/* ----- a result that is only lent, the context first, one thing not wanted */

/* legacy */
struct address {
	unsigned char octet[4];
};

static void host_find(void (*cb)(void *ctx, int status, int timeouts,
				 const struct address *address),
		      void *ctx)
{
	const struct address on_stack = { { 127, 0, 0, 1 } };

	cb(ctx, 0, 0, &on_stack);
}

/* converted: the type says how a second one is made */
static struct address *address_copy(const struct address *from)
{
	struct address *a = malloc(sizeof(*a));

	if (a)
		*a = *from;
	return a;
}

AVOW_TYPE(address, struct address *, free, address_copy);
AVOW_CALLBACK(on_host, AVOW_CTX(void *), AVOW_ERR_IN(int, avow_errno_domain),
	      AVOW_SKIP(int), AVOW_COPY(address, const struct address *));

static avow_value address_text(avow_value value, void *arg)
{
	const unsigned char *o = address_get(value)->octet;
	char text[16];

	(void)arg;
	snprintf(text, sizeof(text), "%d.%d.%d.%d", o[0], o[1], o[2], o[3]);
	return avow_str(text);
}

static avow_promise *result_is_borrowed(avow_loop *loop)
{
	avow_promise *p =
		AVOW_PROMISIFY_VOID(loop, host_find(on_host, AVOW_CONTEXT));

	return avow_then(p, address_text, NULL);
}


/* ----------------------- several results: a struct, members by their place */

/* legacy */
static int image_size(void (*cb)(int err, int width, int height, char *title,
				 void *ctx),
		      void *ctx)
{
	char *title = strdup("cat");

	cb(title ? 0 : ENOMEM, 640, 480, title, ctx);
	return 0;
}

/* converted */
AVOW_CALLBACK(on_image, AVOW_ERR_IN(int, avow_errno_domain), AVOW_NUM(int),
	      AVOW_NUM(int), AVOW_OWN(name), AVOW_CTX(void *));

static avow_value image_text(avow_value value, void *arg)
{
	const on_image_results *r = on_image_results_get(value);
	char text[64];

	(void)arg;
	snprintf(text, sizeof(text), "%s, %d x %d", r->p4, r->p2, r->p3);
	return avow_str(text);
}

static avow_promise *results_are_several(avow_loop *loop)
{
	avow_promise *p =
		AVOW_PROMISIFY(loop, image_size(on_image, AVOW_CONTEXT));

	return avow_then(p, image_text, NULL);
}


/* -------------------------------------- text: a string that is only lent */

/* legacy */
static int title_read(void (*cb)(int err, const char *title, void *ctx),
		      void *ctx)
{
	const char on_stack[] = "Moby Dick";

	cb(0, on_stack, ctx);
	return 0;
}

/* converted: a string value, or none for NULL */
AVOW_CALLBACK(on_title, AVOW_ERR_IN(int, avow_errno_domain),
	      AVOW_STR(const char *), AVOW_CTX(void *));

static avow_promise *result_is_text(avow_loop *loop)
{
	return AVOW_PROMISIFY(loop, title_read(on_title, AVOW_CONTEXT));
}


/* ------------------------------------------- bytes: a pointer and a length */

/* legacy */
static int block_read(void (*cb)(int err, const void *bytes, size_t size,
				 void *ctx),
		      void *ctx)
{
	const char on_stack[] = { 'b', 'y', 't', 'e', 's' };

	cb(0, on_stack, sizeof(on_stack), ctx);
	return 0;
}

/* converted: a string value, with a NUL behind the bytes */
AVOW_CALLBACK(on_block, AVOW_ERR_IN(int, avow_errno_domain),
	      AVOW_BYTES(const void *, size_t), AVOW_CTX(void *));

static avow_promise *result_is_bytes(avow_loop *loop)
{
	return AVOW_PROMISIFY(loop, block_read(on_block, AVOW_CONTEXT));
}


/* ---------- the error is in the handle: the callback by hand, in two lines */

/* legacy */
struct cache {
	int err;
	const char *errstr;
};

static int cache_get(struct cache *c, const char *key,
		     void (*cb)(struct cache *c, const char *reply, void *ctx),
		     void *ctx)
{
	c->err = strcmp(key, "color") == 0 ? 0 : EIO;
	c->errstr = c->err ? "server closed the connection" : "";
	cb(c, c->err ? NULL : "green", ctx);
	return 0;
}

/* converted */
static void on_cached(struct cache *c, const char *reply, void *ctx)
{
	avow_settle(ctx, reply ? avow_str(reply)
			       : avow_error(c->err, "%s", c->errstr));
}

static struct cache cache;

static avow_promise *handle_has_result(avow_loop *loop)
{
	return AVOW_PROMISIFY(loop, cache_get(&cache, "color", on_cached,
					      AVOW_CONTEXT));
}

static avow_promise *handle_has_error(avow_loop *loop)
{
	return AVOW_PROMISIFY(loop, cache_get(&cache, "shape", on_cached,
					      AVOW_CONTEXT));
}


/* ------------- two callbacks in a struct of options: one function for each */

/* legacy */
struct send_options {
	void (*on_success)(void *ctx, int token);
	void (*on_failure)(void *ctx, int code);
	void *ctx;
};

static int message_send(const char *text, const struct send_options *options)
{
	if (*text)
		options->on_success(options->ctx, 7);
	else
		options->on_failure(options->ctx, EMSGSIZE);
	return 0;
}

/* converted */
AVOW_CALLBACK(on_sent, AVOW_CTX(void *), AVOW_NUM(int));
AVOW_CALLBACK(on_unsent, AVOW_CTX(void *),
	      AVOW_ERR_IN(int, avow_errno_domain));

static int send_start(const char *text, void *context)
{
	const struct send_options options = { on_sent, on_unsent, context };

	return message_send(text, &options);
}

static avow_promise *send_text(avow_loop *loop, const char *text)
{
	return AVOW_PROMISIFY(loop, send_start(text, AVOW_CONTEXT));
}

static avow_promise *options_have_success(avow_loop *loop)
{
	return send_text(loop, "hello");
}

static avow_promise *options_have_failure(avow_loop *loop)
{
	return send_text(loop, "");
}


/* -- a request struct of ours: the long form, and memory that the call owns */

/* legacy */
struct sum_request {
	void *data; /* ours */
	int a, b;
	int result;
};

static int sum_start(struct sum_request *r, int a, int b,
		     void (*cb)(struct sum_request *r))
{
	r->result = a + b;
	cb(r);
	return 0;
}

/* converted */
static void on_sum(struct sum_request *r)
{
	avow_settle(r->data, avow_int(r->result));
}

static avow_promise *request_is_ours(avow_loop *loop)
{
	avow_call call = avow_begin(loop, "sum_start");
	struct sum_request *r = NULL;
	int code = ENOMEM;

	if (call.is_open)
		r = avow_alloc(call.context, sizeof(*r));
	if (r) {
		r->data = call.context;
		code = sum_start(r, 40, 2, on_sum);
	}
	return avow_end(call, code == 0, code);
}


/* ----------- no callback at all: it says what it waits for, and is stepped */

/* legacy: write one byte, then read one */
struct talk {
	int fd;
	bool is_written;
	char reply;
};

enum { TALK_DONE, TALK_WANTS_READ, TALK_WANTS_WRITE, TALK_FAILED };

static int talk_step(struct talk *t)
{
	if (!t->is_written && write(t->fd, "?", 1) < 0)
		return errno == EAGAIN ? TALK_WANTS_WRITE : TALK_FAILED;
	t->is_written = true;

	ssize_t n = read(t->fd, &t->reply, 1);

	if (n == 1)
		return TALK_DONE;
	return n < 0 && errno == EAGAIN ? TALK_WANTS_READ : TALK_FAILED;
}

/* converted */
static avow_value talk_drive(avow_value events, void *arg)
{
	struct talk *t = arg;

	if (avow_int_get(events) & AVOW_TIMEOUT)
		return avow_errno(ETIMEDOUT);
	switch (talk_step(t)) {
	case TALK_DONE:
		return avow_bytes(&t->reply, 1);
	case TALK_WANTS_READ:
		return avow_until(t->fd, AVOW_READ, 5.);
	case TALK_WANTS_WRITE:
		return avow_until(t->fd, AVOW_WRITE, 5.);
	default:
		return avow_error(EIO, "the other side has gone");
	}
}

/* The other side, which answers once. */
static avow_value answer(avow_value events, void *arg)
{
	const int *fd = arg;
	char question;

	(void)events;
	if (read(*fd, &question, 1) != 1 || write(*fd, "!", 1) != 1)
		return avow_errno(errno);
	return avow_none();
}

static void close_both(void *arg)
{
	const int *fds = arg;

	close(fds[0]);
	close(fds[1]);
}

static avow_promise *nothing_calls_back(avow_loop *loop)
{
	static int fds[2];
	static struct talk talk;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		return avow_rejected(loop, avow_errno(errno));
	avow_then(avow_readable(loop, fds[1]), answer, &fds[1]);

	talk.fd = fds[0];
	avow_promise *p = avow_drive(loop, talk_drive, &talk);

	return avow_attach(p, fds, close_both);
}


/* --------- and back: a promise behind a callback function, for old callers */

static avow_value twice(avow_value value, void *arg)
{
	(void)arg;
	return avow_int(2 * avow_int_get(value));
}

/* converted: stock_done(promise, callback, context) */
AVOW_CALLBACKIFY(stock_done, AVOW_ERR_IN(int, avow_errno_domain),
		 AVOW_NUM(int), AVOW_CTX(void *));

static void count_twice(avow_loop *loop, const char *item,
			void (*cb)(int err, int n, void *ctx), void *ctx)
{
	stock_done(avow_then(stock(loop, item), twice, NULL), cb, ctx);
}

/* An old caller would do; promisified again, it fits in the table below. */
static avow_promise *back_to_callback(avow_loop *loop)
{
	return AVOW_PROMISIFY_VOID(loop, count_twice(loop, "nails", on_stock,
						     AVOW_CONTEXT));
}

static avow_promise *back_with_error(avow_loop *loop)
{
	return AVOW_PROMISIFY_VOID(loop, count_twice(loop, "unicorns", on_stock,
						     AVOW_CONTEXT));
}


/* ------------------------------------------------------------- All of them */

static const struct shape {
	const char *name;
	avow_promise *(*start)(avow_loop *loop);
	const char *text; /* that should come */
	int code;	  /* or the code of the error, and `text` is NULL */
} shapes[] = {
	{ "0 is started", zero_is_started, "120", 0 },
	{ "  with an error", zero_with_error, NULL, ENOENT },
	{ "  not started", zero_not_started, NULL, EINVAL },
	{ "true is started", bool_is_started, "nothing", 0 },
	{ "an id is started", id_is_started, "42", 0 },
	{ "  with an error", id_with_error, NULL, EDOM },
	{ "a pointer is started", pointer_is_started, "0.25", 0 },
	{ "void is started", void_is_started, "256", 0 },
	{ "an owned result", result_is_owned, "Ada", 0 },
	{ "a borrowed result", result_is_borrowed, "127.0.0.1", 0 },
	{ "several results", results_are_several, "cat, 640 x 480", 0 },
	{ "text", result_is_text, "Moby Dick", 0 },
	{ "bytes", result_is_bytes, "bytes", 0 },
	{ "a result in a handle", handle_has_result, "green", 0 },
	{ "  with an error", handle_has_error, NULL, EIO },
	{ "two callbacks", options_have_success, "7", 0 },
	{ "  with an error", options_have_failure, NULL, EMSGSIZE },
	{ "a request of ours", request_is_ours, "42", 0 },
	{ "no callback", nothing_calls_back, "!", 0 },
	{ "back to a callback", back_to_callback, "240", 0 },
	{ "  with an error", back_with_error, NULL, ENOENT },
};

struct outcome {
	char text[128];
	bool is_error;
	int code;
};

/* Keep what has come, as text. */
static avow_value keep(avow_value value, void *arg)
{
	struct outcome *o = arg;
	const size_t size = sizeof(o->text);

	o->is_error = avow_is_error(value);
	o->code = avow_code(value);
	if (avow_is_none(value))
		snprintf(o->text, size, "nothing");
	else if (avow_is(value, &avow_int_type))
		snprintf(o->text, size, "%d", (int)avow_int_get(value));
	else if (avow_is(value, &avow_double_type))
		snprintf(o->text, size, "%g", avow_double_get(value));
	else
		snprintf(o->text, size, "%s", avow_message(value));
	return avow_none();
}

static bool is_right(const struct shape *s, const struct outcome *o)
{
	if (s->text)
		return !o->is_error && strcmp(o->text, s->text) == 0;
	return o->is_error && o->code == s->code;
}

/* One after the other, so that they are printed in their order. */
static bool shape_run(avow_loop *loop, const struct shape *s)
{
	struct outcome o = { .text = "it never settled" };
	avow_promise *p = s->start(loop);

	avow_on(p, .fulfilled = keep, .rejected = keep, .arg = &o);
	ev_run(avow_loop_ev(loop), 0);
	printf("%-22s %s%s%s\n", s->name, o.is_error ? "error: " : "", o.text,
	       is_right(s, &o) ? "" : "   WRONG");
	return is_right(s, &o);
}

int main(void)
{
	const size_t count = sizeof(shapes) / sizeof(shapes[0]);
	struct ev_loop *ev = ev_default_loop(0);
	avow_loop *loop = ev ? avow_loop_new(ev) : NULL;
	size_t right_count = 0;

	if (!loop) {
		fputs("convert: cannot make a loop\n", stderr);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < count; i++)
		right_count += shape_run(loop, &shapes[i]);
	avow_loop_free(loop);
	ev_loop_destroy(ev);
	printf("%zu of %zu are as they should be\n", right_count, count);
	return right_count == count ? EXIT_SUCCESS : EXIT_FAILURE;
}
