/*
 * SPDX-License-Identifier: MIT
 *
 * Small stand-ins for real callback libraries, one for each shape of callback
 * that avow promises to wrap.  Each behaves as its model does where it matters
 * to the wrapper: who frees the result, when the callback comes, what a failed
 * start looks like, what cancelling does.  None of them knows avow.
 *
 * A request is a `work`: it calls `done` from a timer of the program's loop.
 * `script` says how it goes.  standins_end() throws away what never called
 * back; `standin_live` counts results handed out and not yet freed.
 *
 * Included by test_shapes.c alone, hence the function bodies.
 */
#ifndef TEST_STANDINS_H
#define TEST_STANDINS_H

#include <ev.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum outcome {
	GOES_WELL,	/* calls back later, with a result */
	FAILS,		/* calls back later, with an error */
	IS_SILENT,	/* starts, and never calls back */
	AT_ONCE,	/* calls back before the call returns */
	REFUSES		/* does not start: returns an error */
} outcome;

static int standin_live;


/* ------------------------------------------------------ Work, shared by all */

typedef struct work {
	ev_timer timer;			/* first: the watcher is the work */
	struct ev_loop *ev;
	outcome script;
	void (*done)(struct work *w);	/* calls the library's callback */
	bool is_ours;			/* memory of ours, freed when done */
	struct work *next;
	struct work **link;
} work;

static work *works;

static void work_unlink(work *w)
{
	ev_timer_stop(w->ev, &w->timer);
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
}

static void work_finish(work *w)
{
	const bool is_ours = w->is_ours;

	work_unlink(w);
	w->done(w);
	if (is_ours)
		free(w);
}

static void work_on_timer(struct ev_loop *ev, ev_timer *timer, int revents)
{
	(void)ev;
	(void)revents;
	work_finish((work *)timer);
}

/* Link the work and call back as the script says: at once, later, or never. */
static void work_begin(work *w, struct ev_loop *ev, outcome script,
		       void (*done)(work *))
{
	w->ev = ev;
	w->script = script;
	w->done = done;
	w->next = works;
	w->link = &works;
	if (works)
		works->link = &w->next;
	works = w;
	ev_timer_init(&w->timer, work_on_timer, .001, 0);
	if (script == AT_ONCE)
		work_finish(w);
	else if (script != IS_SILENT)
		ev_timer_start(ev, &w->timer);
}

static void *work_new(size_t size)
{
	work *w = calloc(1, size);

	if (!w)
		abort();
	w->is_ours = true;
	return w;
}

static inline void standins_end(void)
{
	while (works) {
		work *w = works;
		const bool is_ours = w->is_ours;

		work_unlink(w);
		if (is_ours)
			free(w);
	}
}

static char *standin_text(const char *text)
{
	char *copy = malloc(strlen(text) + 1);

	if (!copy)
		abort();
	standin_live++;
	return strcpy(copy, text);
}

static inline void standin_text_free(char *text)
{
	standin_live--;
	memset(text, '#', strlen(text));
	free(text);
}


/* --------------------------- S1 (err, val..., ctx): a ZooKeeper-like client
 *
 * The value is borrowed, has no NUL at its end and is overwritten when the
 * callback has returned.  The context is a const void pointer.
 */

typedef struct zoo_stat {
	int version;
} zoo_stat;

typedef void zoo_data_fn(int rc, const char *value, int size,
			 const zoo_stat *stat, const void *data);

typedef struct zoo_work {
	work work;
	zoo_data_fn *fn;
	const void *data;
} zoo_work;

static inline const char *zoo_error(int rc)
{
	return rc == -101 ? "no node" : rc == -4 ? "connection loss" : "?";
}

static void zoo_done(work *w)
{
	const zoo_work *z = (const zoo_work *)w;
	char value[3] = { 'a', 'b', 'c' };
	zoo_stat stat = { 42 };

	if (w->script == FAILS)
		z->fn(-101, NULL, -1, NULL, z->data);
	else
		z->fn(0, value, 3, &stat, z->data);
	memset(value, '#', sizeof(value));
	stat.version = -1;
}

static inline int zoo_get(struct ev_loop *ev, outcome script, const char *path,
			  zoo_data_fn *fn, const void *data)
{
	zoo_work *z;

	(void)path;
	if (script == REFUSES)
		return -4;
	z = work_new(sizeof(*z));
	z->fn = fn;
	z->data = data;
	work_begin(&z->work, ev, script, zoo_done);
	return 0;
}


/* ---------------------- S2 (ctx, status, extra, val): a c-ares-like resolver
 *
 * The call returns nothing.  A literal address is answered before it returns.
 * The result belongs to the callback.  Cancelling ends the whole channel, and
 * calls back for each of its queries meanwhile.
 */

typedef struct res_info {
	char name[32];
} res_info;

enum { RES_SUCCESS, RES_NOTFOUND = 4, RES_CANCELLED = 24 };

typedef void res_fn(void *arg, int status, int timeouts, res_info *info);

typedef struct res_work {
	work work;
	char name[32];
	res_fn *fn;
	void *arg;
} res_work;

static inline const char *res_strerror(int status)
{
	return status == RES_NOTFOUND ? "domain name not found" :
	       status == RES_CANCELLED ? "query cancelled" : "?";
}

static inline void res_info_free(res_info *info)
{
	standin_live--;
	free(info);
}

static void res_done(work *w)
{
	const res_work *r = (const res_work *)w;
	res_info *info;

	if (w->script == FAILS) {
		r->fn(r->arg, RES_NOTFOUND, 1, NULL);
		return;
	}
	info = malloc(sizeof(*info));
	if (!info)
		abort();
	standin_live++;
	snprintf(info->name, sizeof(info->name), "%.20s.", r->name);
	r->fn(r->arg, RES_SUCCESS, 0, info);
}

static inline void res_query(struct ev_loop *ev, outcome script,
			     const char *name, res_fn *fn, void *arg)
{
	res_work *r = work_new(sizeof(*r));

	snprintf(r->name, sizeof(r->name), "%s", name);
	r->fn = fn;
	r->arg = arg;
	if (name[0] >= '0' && name[0] <= '9')
		script = AT_ONCE;
	work_begin(&r->work, ev, script, res_done);
}

static inline void res_cancel_all(void)
{
	while (works) {
		res_work *r = (res_work *)works;

		work_unlink(&r->work);
		r->fn(r->arg, RES_CANCELLED, 0, NULL);
		free(r);
	}
}


/* ------------------- S3 (handle, val, ctx): a hiredis-like client
 *
 * The reply is borrowed and freed when the callback returns; an error is a
 * NULL reply, and stands in the handle.  The command is formatted.
 */

typedef struct kv_reply {
	char *text;
} kv_reply;

typedef struct kv {
	struct ev_loop *ev;
	outcome script;
	int err;
	char errstr[32];
} kv;

typedef void kv_fn(kv *handle, void *reply, void *data);

typedef struct kv_work {
	work work;
	kv *handle;
	char command[64];
	kv_fn *fn;
	void *data;
} kv_work;

static void kv_done(work *w)
{
	kv_work *k = (kv_work *)w;
	kv_reply reply;

	if (w->script == FAILS) {
		k->handle->err = 3;
		strcpy(k->handle->errstr, "Server closed");
		k->fn(k->handle, NULL, k->data);
		return;
	}
	reply.text = standin_text(k->command);
	k->fn(k->handle, &reply, k->data);
	standin_text_free(reply.text);
}

static inline int kv_command(kv *handle, kv_fn *fn, void *data,
			     const char *format, ...)
{
	kv_work *k;
	va_list list;

	if (handle->script == REFUSES)
		return -1;
	k = work_new(sizeof(*k));
	k->handle = handle;
	k->fn = fn;
	k->data = data;
	va_start(list, format);
	vsnprintf(k->command, sizeof(k->command), format, list);
	va_end(list);
	work_begin(&k->work, handle->ev, handle->script, kv_done);
	return 0;
}


/* ------------- S4 (handle, kind, val, ctx, id): a getdns-like context
 *
 * The id comes back through a pointer; cancelling by id calls back at once
 * with a kind of its own.  The response belongs to the callback.
 */

enum { DNS_COMPLETE = 700, DNS_CANCELLED, DNS_TIMEOUT };

typedef struct dns_context {
	struct ev_loop *ev;
	outcome script;
	uint64_t last_id;
} dns_context;

typedef void dns_fn(dns_context *context, int kind, char *response, void *arg,
		    uint64_t id);

typedef struct dns_work {
	work work;
	dns_context *context;
	dns_fn *fn;
	void *arg;
	uint64_t id;
} dns_work;

static void dns_done(work *w)
{
	const dns_work *d = (const dns_work *)w;

	if (w->script == FAILS)
		d->fn(d->context, DNS_TIMEOUT, NULL, d->arg, d->id);
	else
		d->fn(d->context, DNS_COMPLETE, standin_text("10.1.2.3"),
		      d->arg, d->id);
}

static inline int dns_address(dns_context *context, const char *name, void *arg,
			      uint64_t *id, dns_fn *fn)
{
	dns_work *d;

	(void)name;
	if (context->script == REFUSES)
		return 301;
	d = work_new(sizeof(*d));
	d->context = context;
	d->fn = fn;
	d->arg = arg;
	d->id = ++context->last_id;
	if (id)
		*id = d->id;
	work_begin(&d->work, context->ev, context->script, dns_done);
	return 0;
}

static inline int dns_cancel(dns_context *context, uint64_t id)
{
	for (work *w = works; w; w = w->next) {
		dns_work *d = (dns_work *)w;

		if (d->context != context || d->id != id)
			continue;
		work_unlink(w);
		d->fn(context, DNS_CANCELLED, NULL, d->arg, id);
		free(d);
		return 0;
	}
	return 302;
}


/* --------------------- S5 (req *): a libuv-like intrusive request
 *
 * The caller owns the request and must keep it until the callback, cancelled
 * or not.  The result, or a negative errno, stands in it.
 */

typedef struct req {
	work work;
	void (*fn)(struct req *req);
	int result;
} req;

static void req_done(work *w)
{
	req *r = (req *)w;

	if (r->result == 0)
		r->result = w->script == FAILS ? -ENOENT : 512;
	r->fn(r);
}

static inline int req_start(struct ev_loop *ev, outcome script, req *r,
			    void (*fn)(req *))
{
	if (script == REFUSES)
		return -EBADF;
	r->fn = fn;
	r->result = 0;
	work_begin(&r->work, ev, script, req_done);
	return 0;
}

/* The callback comes later, with -ECANCELED. */
static inline void req_cancel(req *r)
{
	r->result = -ECANCELED;
	if (!ev_is_active(&r->work.timer))
		ev_timer_start(r->work.ev, &r->work.timer);
}


/* ----- S6 success and failure in an options struct: a Paho-like client
 *
 * The options are copied by the call.
 */

typedef struct mq_success {
	int token;
} mq_success;

typedef struct mq_failure {
	int code;
	const char *message;
} mq_failure;

typedef struct mq_options {
	void *context;
	void (*on_success)(void *context, mq_success *response);
	void (*on_failure)(void *context, mq_failure *response);
} mq_options;

typedef struct mq_work {
	work work;
	mq_options options;
} mq_work;

static void mq_done(work *w)
{
	const mq_options *o = &((mq_work *)w)->options;
	mq_success success = { 17 };
	mq_failure failure = { -3, "broker unavailable" };

	if (w->script == FAILS)
		o->on_failure(o->context, &failure);
	else
		o->on_success(o->context, &success);
}

static inline int mq_send(struct ev_loop *ev, outcome script, const char *topic,
			  const mq_options *options)
{
	mq_work *m;

	(void)topic;
	if (script == REFUSES)
		return -1;
	m = work_new(sizeof(*m));
	m->options = *options;
	work_begin(&m->work, ev, script, mq_done);
	return 0;
}


/* -------- S7 one callback for each handle, matched by id: mosquitto-like
 *
 * With AT_ONCE the callback comes before the call has told the id.
 */

typedef struct mos {
	struct ev_loop *ev;
	outcome script;
	int last_id;
	void *data;
	void (*on_publish)(struct mos *handle, void *data, int id, int reason);
} mos;

typedef struct mos_work {
	work work;
	mos *handle;
	int id;
} mos_work;

static void mos_done(work *w)
{
	const mos_work *m = (const mos_work *)w;

	m->handle->on_publish(m->handle, m->handle->data, m->id,
			      w->script == FAILS ? 135 : 0);
}

static inline int mos_publish(mos *handle, int *id, const char *topic)
{
	mos_work *m;
	int mine;

	(void)topic;
	if (handle->script == REFUSES)
		return 4;
	m = work_new(sizeof(*m));
	m->handle = handle;
	mine = m->id = ++handle->last_id;
	work_begin(&m->work, handle->ev, handle->script, mos_done);
	*id = mine;	/* told last, as the model does */
	return 0;
}


/* ---------- S8 no callback, readiness and a step: a libpq-like connection
 *
 * One end of a socket pair is the connection, the other the server, which a
 * timer plays: it answers 'Y' or 'N' to the greeting, in two pieces.
 */

typedef enum pq_wants { PQ_READING, PQ_WRITING, PQ_OK, PQ_FAILED } pq_wants;

typedef struct pq {
	work work;	/* the server */
	int fd;
	int server_fd;
	int pieces;
	bool is_greeted;
	pq_wants wants;
} pq;

static void pq_serve(work *w);

static void pq_serve_again(pq *c, struct ev_loop *ev, outcome script)
{
	work_begin(&c->work, ev, script, pq_serve);
}

static void pq_serve(work *w)
{
	pq *c = (pq *)w;
	char text[8];

	if (c->pieces == 0 && read(c->server_fd, text, sizeof(text)) != 5)
		abort();
	if (write(c->server_fd, w->script == FAILS ? "N" : "Y", 1) != 1)
		abort();
	if (++c->pieces < 2)
		pq_serve_again(c, w->ev, w->script);
}

static inline pq *pq_connect_start(struct ev_loop *ev, outcome script)
{
	pq *c;
	int fd[2];

	if (script == REFUSES)
		return NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) < 0)
		abort();
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	standin_live++;
	c->fd = fd[0];
	c->server_fd = fd[1];
	c->wants = PQ_WRITING;
	c->work.ev = ev;
	c->work.script = script;
	return c;
}

static inline pq_wants pq_connect_poll(pq *c)
{
	char answer = 0;

	if (!c->is_greeted) {
		if (write(c->fd, "hello", 5) != 5)
			return PQ_FAILED;
		c->is_greeted = true;
		pq_serve_again(c, c->work.ev, c->work.script);
		return c->wants = PQ_READING;
	}
	if (read(c->fd, &answer, 1) != 1)
		return PQ_READING;
	if (answer != 'Y')
		return c->wants = PQ_FAILED;
	return c->wants = c->pieces < 2 ? PQ_READING : PQ_OK;
}

static inline void pq_finish(pq *c)
{
	for (work *w = works; w; w = w->next) {
		if (w == &c->work) {
			work_unlink(w);
			break;
		}
	}
	close(c->fd);
	close(c->server_fd);
	standin_live--;
	free(c);
}


/* ------------------------------- S9 two phases: a GIO-like source
 *
 * The callback gets a result that says nothing; read_finish() gives the text,
 * which is the caller's, or an error, which is the caller's too.
 */

typedef struct gio_error {
	int code;
	char *message;
} gio_error;

typedef struct gio gio;
typedef struct gio_result gio_result;
typedef void gio_ready_fn(gio *source, gio_result *result, void *data);

struct gio {
	struct ev_loop *ev;
	outcome script;
};

struct gio_result {
	work work;
	gio *source;
	bool *is_cancelled;
	gio_ready_fn *fn;
	void *data;
};

static void gio_done(work *w)
{
	gio_result *r = (gio_result *)w;

	r->fn(r->source, r, r->data);
}

static inline void gio_read_async(gio *source, bool *is_cancelled,
				  gio_ready_fn *fn, void *data)
{
	gio_result *r = work_new(sizeof(*r));

	r->source = source;
	r->is_cancelled = is_cancelled;
	r->fn = fn;
	r->data = data;
	work_begin(&r->work, source->ev, source->script, gio_done);
}

static inline char *gio_read_finish(gio *source, gio_result *result,
				    gio_error **error)
{
	const bool is_cancelled =
		result->is_cancelled && *result->is_cancelled;

	(void)source;
	if (!is_cancelled && result->work.script != FAILS)
		return standin_text("file contents");
	*error = malloc(sizeof(**error));
	if (!*error)
		abort();
	standin_live++;
	(*error)->code = is_cancelled ? 19 : 1;
	(*error)->message = standin_text(is_cancelled ? "Operation cancelled" :
						       "No such file");
	return NULL;
}

static inline void gio_error_free(gio_error *error)
{
	standin_text_free(error->message);
	standin_live--;
	free(error);
}


/* ------------------------ S11 callback on another thread: NATS-like
 *
 * The message belongs to the callback, which runs in a thread of the library.
 */

typedef void nats_fn(int status, char *message, void *closure);

typedef struct nats {
	pthread_t thread;
	outcome script;
	nats_fn *fn;
	void *closure;
	bool is_started;
} nats;

static inline const char *nats_text(int status)
{
	return status == 26 ? "Timeout" : "?";
}

static void *nats_main(void *arg)
{
	const nats *n = arg;

	if (n->script == FAILS)
		n->fn(26, NULL, n->closure);
	else if (n->script == GOES_WELL)
		n->fn(0, strdup("reply"), n->closure);
	return NULL;
}

static inline int nats_request(nats *n, outcome script, nats_fn *fn,
			       void *closure)
{
	if (script == REFUSES)
		return 6;
	n->script = script;
	n->fn = fn;
	n->closure = closure;
	n->is_started = true;
	return pthread_create(&n->thread, NULL, nats_main, n);
}

static inline void nats_end(nats *n)
{
	if (n->is_started)
		pthread_join(n->thread, NULL);
	n->is_started = false;
}


/* ----------------- S12 no context at all: as a signal handler or a log hook */

static void (*buzzer_fn)(int level);

static inline void buzzer_on(void (*fn)(int level))
{
	buzzer_fn = fn;
}

static void buzzer_done(work *w)
{
	if (buzzer_fn)
		buzzer_fn(w->script == FAILS ? -1 : 3);
}

static inline void buzzer_press(struct ev_loop *ev, outcome script)
{
	work_begin(work_new(sizeof(work)), ev, script, buzzer_done);
}

#endif
