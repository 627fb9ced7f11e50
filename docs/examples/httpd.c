/*
 * SPDX-License-Identifier: MIT
 *
 * httpd.c - the server of httpd.h.  A connection reads one request, sends one
 * reply and is closed.  Its one watcher waits first for the request, then for
 * room to write, and where a page stalls for the client to hang up; a timer
 * closes those that are idle.
 */
#include "httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_SIZE_MAX 2048
#define IDLE_SECONDS 10.

struct visit {
	httpd *httpd;
	struct visit *next;
	struct visit **link; /* what points here */
	int fd;
	ev_io io;
	ev_timer timer;
	char request[REQUEST_SIZE_MAX + 1];
	size_t request_size;
	char head[256];
	size_t head_size;
	const char *body;
	size_t body_size;
	size_t sent;	 /* of head and body together */
	size_t send_max; /* less than that where the page stalls */
};

struct httpd {
	struct ev_loop *ev;
	const struct httpd_page *pages;
	size_t page_count;
	int fd;
	ev_io io;
	struct visit *first;
	void (*on_hangup)(void *ctx);
	void *ctx;
};

static void visit_free(struct visit *v)
{
	struct ev_loop *ev = v->httpd->ev;

	ev_io_stop(ev, &v->io);
	ev_timer_stop(ev, &v->timer);
	close(v->fd);
	*v->link = v->next;
	if (v->next)
		v->next->link = v->link;
	free(v);
}

static void visit_hangup(struct visit *v)
{
	httpd *h = v->httpd;

	visit_free(v);
	if (h->on_hangup)
		h->on_hangup(h->ctx);
}

static void visit_watch(struct visit *v, int events,
			void (*fn)(struct ev_loop *, ev_io *, int))
{
	struct ev_loop *ev = v->httpd->ev;

	ev_io_stop(ev, &v->io);
	ev_io_init(&v->io, fn, v->fd, events);
	ev_io_start(ev, &v->io);
}

static bool is_transient(int code)
{
	return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}

/* A page has stalled: whatever the client sends now, wait for the end. */
static void on_silence(struct ev_loop *ev, ev_io *io, int events)
{
	struct visit *v = io->data;
	char ignored[256];
	ssize_t n = recv(v->fd, ignored, sizeof(ignored), 0);

	(void)ev;
	(void)events;
	if (n == 0 || (n < 0 && !is_transient(errno)))
		visit_hangup(v);
}

static ssize_t visit_send(struct visit *v)
{
	const char *from = v->head + v->sent;
	size_t size = v->head_size - v->sent;

	if (v->sent >= v->head_size) {
		from = v->body + (v->sent - v->head_size);
		size = v->send_max - v->sent;
	}
	return send(v->fd, from, size, MSG_NOSIGNAL);
}

static void on_room(struct ev_loop *ev, ev_io *io, int events)
{
	struct visit *v = io->data;
	ssize_t n = visit_send(v);

	(void)events;
	if (n < 0 && is_transient(errno))
		return;
	if (n < 0) {
		visit_hangup(v);
		return;
	}
	ev_timer_again(ev, &v->timer);
	v->sent += (size_t)n;
	if (v->sent == v->head_size + v->body_size)
		visit_free(v);
	else if (v->sent == v->send_max)
		visit_watch(v, EV_READ, on_silence);
}

static void visit_reply(struct visit *v, const char *status,
			const struct httpd_page *page)
{
	int n = snprintf(v->head, sizeof(v->head),
			 "HTTP/1.0 %s\r\nContent-Type: %s\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			 status, page->type, page->size);

	if (n < 0 || (size_t)n >= sizeof(v->head)) {
		visit_free(v);
		return;
	}
	v->head_size = (size_t)n;
	v->body = page->bytes;
	v->body_size = page->size;
	v->send_max = v->head_size + v->body_size / (page->stalls ? 2 : 1);
	visit_watch(v, EV_WRITE, on_room);
}

static void visit_refuse(struct visit *v, const char *status)
{
	static const char text[] = "This is not here.\n";
	static const struct httpd_page page = {
		.type = "text/plain",
		.bytes = text,
		.size = sizeof(text) - 1,
	};

	visit_reply(v, status, &page);
}

/* The whole request is there: "GET /cat.gif HTTP/1.0" and what follows. */
static void visit_answer(struct visit *v)
{
	char *path = v->request + 4;

	if (strncmp(v->request, "GET ", 4) != 0) {
		visit_refuse(v, "405 Method Not Allowed");
		return;
	}
	path[strcspn(path, " \r\n")] = '\0';
	for (size_t i = 0; i < v->httpd->page_count; i++) {
		if (strcmp(v->httpd->pages[i].path, path) == 0) {
			visit_reply(v, "200 OK", &v->httpd->pages[i]);
			return;
		}
	}
	visit_refuse(v, "404 Not Found");
}

static void on_request(struct ev_loop *ev, ev_io *io, int events)
{
	struct visit *v = io->data;
	ssize_t n = recv(v->fd, v->request + v->request_size,
			 REQUEST_SIZE_MAX - v->request_size, 0);

	(void)ev;
	(void)events;
	if (n < 0 && is_transient(errno))
		return;
	if (n <= 0) {
		visit_hangup(v);
		return;
	}
	v->request_size += (size_t)n;
	/* The request was zeroed, so it always ends with a NUL. */
	if (strstr(v->request, "\r\n\r\n"))
		visit_answer(v);
	else if (v->request_size == REQUEST_SIZE_MAX)
		visit_refuse(v, "400 Bad Request");
}

static void on_idle(struct ev_loop *ev, ev_timer *timer, int events)
{
	(void)ev;
	(void)events;
	visit_free(timer->data);
}

static void on_visit(struct ev_loop *ev, ev_io *io, int events)
{
	httpd *h = io->data;
	int fd = accept(h->fd, NULL, NULL);

	(void)events;
	if (fd < 0)
		return; /* the client has gone, or tries again */

	struct visit *v = calloc(1, sizeof(*v));

	if (!v || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		free(v);
		close(fd);
		return;
	}
	v->httpd = h;
	v->fd = fd;
	v->next = h->first;
	v->link = &h->first;
	if (v->next)
		v->next->link = &v->next;
	h->first = v;

	v->io.data = v;
	ev_init(&v->io, on_request);
	visit_watch(v, EV_READ, on_request);
	ev_init(&v->timer, on_idle);
	v->timer.repeat = IDLE_SECONDS;
	v->timer.data = v;
	ev_timer_again(ev, &v->timer);
}

static int listen_on_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

httpd *httpd_new(struct ev_loop *ev, const struct httpd_page *pages,
		 size_t page_count)
{
	httpd *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->fd = listen_on_loopback();
	if (h->fd < 0) {
		free(h);
		return NULL;
	}
	h->ev = ev;
	h->pages = pages;
	h->page_count = page_count;
	ev_io_init(&h->io, on_visit, h->fd, EV_READ);
	h->io.data = h;
	ev_io_start(ev, &h->io);
	return h;
}

void httpd_free(httpd *h)
{
	if (!h)
		return;
	while (h->first)
		visit_free(h->first);
	ev_io_stop(h->ev, &h->io);
	close(h->fd);
	free(h);
}

unsigned httpd_port(const httpd *h)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);

	if (getsockname(h->fd, (struct sockaddr *)&address, &size) < 0)
		return 0;
	return ntohs(address.sin_port);
}

void httpd_on_hangup(httpd *h, void (*fn)(void *ctx), void *ctx)
{
	h->on_hangup = fn;
	h->ctx = ctx;
}
