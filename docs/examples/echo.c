/*
 * SPDX-License-Identifier: MIT
 *
 * echo.c - a server that gives back every line it is sent, in a program that
 * has its own libev loop and watchers and gives each connection a chain.
 *
 *     echo 7000       serve on 127.0.0.1:7000 until interrupted
 *     echo            test itself: serve a few clients of its own, and end
 *
 * "quit" ends a connection, and so does a line that is too long.
 */
#include <avow.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_SIZE_MAX 1024

struct server {
	struct ev_loop *ev;
	avow_loop *loop;
	int fd;
	ev_io io;
	ev_signal interrupt;
	struct connection *first;
	avow_promise *pause; /* NULL but when out of descriptors */
};

struct connection {
	struct server *server;
	struct connection *next;
	struct connection **link; /* what points here */
	avow_promise *work;	  /* NULL once it is over */
	int fd;
	bool is_ended; /* the client sends no more */
	char in[LINE_SIZE_MAX];
	size_t in_size;
	char out[LINE_SIZE_MAX];
	size_t out_size, out_sent;
};

static bool is_transient(int code)
{
	return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}


/* ---------------------------------------------------------- One connection */

/* Take in what has come. */
static avow_value receive(avow_value events, void *arg)
{
	struct connection *c = arg;
	ssize_t n =
		recv(c->fd, c->in + c->in_size, sizeof(c->in) - c->in_size, 0);

	if (n < 0 && !is_transient(errno))
		return avow_errno(errno);
	if (n == 0)
		c->is_ended = true;
	if (n > 0)
		c->in_size += (size_t)n;
	return events;
}

/* Send what there is to send, however often the socket is full. */
static avow_value reply(avow_value value, void *arg)
{
	struct connection *c = arg;

	while (c->out_sent < c->out_size) {
		ssize_t n = send(c->fd, c->out + c->out_sent,
				 c->out_size - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && is_transient(errno)) {
			avow_promise *p = avow_writable(c->server->loop, c->fd);

			return avow_await(avow_then(p, reply, c));
		}
		if (n < 0)
			return avow_errno(errno);
		c->out_sent += (size_t)n;
	}
	return value;
}

/* Move the first line, with its end, from `in` to `out`; false: none there. */
static bool take_line(struct connection *c)
{
	const char *end = memchr(c->in, '\n', c->in_size);

	if (!end)
		return false;
	c->out_size = (size_t)(end + 1 - c->in);
	c->out_sent = 0;
	memcpy(c->out, c->in, c->out_size);
	c->in_size -= c->out_size;
	memmove(c->in, end + 1, c->in_size);
	return true;
}

static bool is_quit(const struct connection *c)
{
	return c->out_size == 5 && memcmp(c->out, "quit\n", 5) == 0;
}

/*
 * Serve one line, then the next.  A handler that waits for a promise whose
 * last handler is itself is a loop: it runs in constant memory for ever.
 */
static avow_value serve(avow_value value, void *arg)
{
	struct connection *c = arg;
	avow_promise *p;

	if (take_line(c)) {
		if (is_quit(c))
			return avow_none();
		p = avow_resolved(c->server->loop, avow_none());
		p = avow_then(p, reply, c);
		return avow_await(avow_then(p, serve, c));
	}
	if (c->is_ended)
		return value;
	if (c->in_size == sizeof(c->in))
		return avow_errno(EMSGSIZE);
	p = avow_readable(c->server->loop, c->fd);
	p = avow_then(p, receive, c);
	return avow_await(avow_then(p, serve, c));
}

static avow_value complain(avow_value error, void *arg)
{
	const struct connection *c = arg;

	printf("connection %d: %s\n", c->fd, avow_message(error));
	return avow_none();
}

/* However the work has ended. */
static void connection_close(void *arg)
{
	struct connection *c = arg;

	close(c->fd);
	avow_unslot(&c->work);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	free(c);
}

/* Takes `fd`. */
static void connection_open(struct server *s, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		perror("echo: no room for a connection");
		free(c);
		close(fd);
		return;
	}
	c->server = s;
	c->fd = fd;
	c->next = s->first;
	c->link = &s->first;
	if (c->next)
		c->next->link = &c->next;
	s->first = c;

	avow_promise *p = avow_resolved(s->loop, avow_none());

	p = avow_then(p, serve, c);
	p = avow_catch(p, complain, c);
	avow_slot(p, &c->work);
	avow_attach(p, c, connection_close);
}


/* -------------------------------------------------------------- The server */

static avow_value resume(avow_value value, void *arg)
{
	struct server *s = arg;

	ev_io_start(s->ev, &s->io);
	return value;
}

/* Out of descriptors: the listening socket stays readable and would spin. */
static void server_pause(struct server *s)
{
	perror("echo: accept");
	ev_io_stop(s->ev, &s->io);
	avow_slot(avow_then(avow_delay(s->loop, 0.1), resume, s), &s->pause);
}

static void on_accept(struct ev_loop *ev, ev_io *io, int events)
{
	struct server *s = io->data;
	int fd = accept(s->fd, NULL, NULL);

	(void)ev;
	(void)events;
	if (fd >= 0)
		connection_open(s, fd);
	else if (errno == EMFILE || errno == ENFILE)
		server_pause(s);
}

/* Stop listening and end what is open; ev_run() then has nothing to do. */
static void server_close(struct server *s)
{
	ev_io_stop(s->ev, &s->io);
	ev_signal_stop(s->ev, &s->interrupt);
	close(s->fd);
	avow_cancel(s->pause);
	for (struct connection *c = s->first; c; c = c->next)
		avow_cancel(c->work);
}

static void on_interrupt(struct ev_loop *ev, ev_signal *signal, int events)
{
	(void)ev;
	(void)events;
	server_close(signal->data);
}

/* A socket that listens at `address`, which is updated; or -1. */
static int listen_at(struct sockaddr_in *address)
{
	const int on = 1;
	socklen_t size = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)address, size) < 0 ||
	    listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)address, &size) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

static bool server_open(struct server *s, struct sockaddr_in *address)
{
	s->fd = listen_at(address);
	if (s->fd < 0) {
		perror("echo: cannot listen");
		return false;
	}
	ev_io_init(&s->io, on_accept, s->fd, EV_READ);
	s->io.data = s;
	ev_io_start(s->ev, &s->io);
	ev_signal_init(&s->interrupt, on_interrupt, SIGINT);
	s->interrupt.data = s;
	ev_signal_start(s->ev, &s->interrupt);
	printf("echo: serving port %u\n", ntohs(address->sin_port));
	return true;
}


/* ----------------------------------------------------------- The self test
 *
 * Each client says its text `times` times and then nothing more, and at the
 * same time listens until the server hangs up.  The last of them to end closes
 * the server, which has one more connection then, from someone who is silent.
 */

struct client {
	const char *name;
	const char *text;
	const char *expected; /* what comes back of `text` */
	size_t times;
	size_t said, heard; /* bytes */
	int fd;
	bool is_right;
	avow_promise *saying; /* NULL once all is said */
	struct self_test *test;
};

struct self_test {
	struct server server;
	struct sockaddr_in address;
	struct client clients[4];
	size_t talking_count;
};

static avow_value say(avow_value value, void *arg)
{
	struct client *c = arg;
	size_t size = strlen(c->text);

	while (c->said < size * c->times) {
		size_t from = c->said % size;
		ssize_t n =
			send(c->fd, c->text + from, size - from, MSG_NOSIGNAL);

		if (n < 0 && is_transient(errno)) {
			avow_promise *p =
				avow_writable(c->test->server.loop, c->fd);

			return avow_await(avow_then(p, say, c));
		}
		if (n < 0)
			return avow_errno(errno);
		c->said += (size_t)n;
	}
	if (shutdown(c->fd, SHUT_WR) < 0)
		return avow_errno(errno);
	return value;
}

/* Does what came continue what should come? */
static bool hear_bytes(struct client *c, const char *bytes, size_t size)
{
	size_t period = strlen(c->expected);

	for (size_t i = 0; i < size; i++) {
		if (c->heard == period * c->times ||
		    bytes[i] != c->expected[c->heard % period])
			return false;
		c->heard++;
	}
	return true;
}

static avow_value hear(avow_value value, void *arg)
{
	struct client *c = arg;
	char bytes[4096];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		c->is_right = c->heard == strlen(c->expected) * c->times;
		return value;
	}
	if (n < 0 && !is_transient(errno))
		return avow_errno(errno);
	if (n > 0 && !hear_bytes(c, bytes, (size_t)n))
		return avow_error(EPROTO, "the server says something else");
	avow_promise *p = avow_readable(c->test->server.loop, c->fd);

	return avow_await(avow_then(p, hear, c));
}

static avow_value client_failed(avow_value error, void *arg)
{
	const struct client *c = arg;

	fprintf(stderr, "echo: %s: %s\n", c->name, avow_message(error));
	return avow_none();
}

static void client_end(void *arg)
{
	struct client *c = arg;
	struct self_test *t = c->test;

	avow_cancel(c->saying);
	close(c->fd);
	printf("%-22s %zu bytes said, %zu heard: %s\n", c->name, c->said,
	       c->heard, c->is_right ? "right" : "WRONG");
	if (--t->talking_count == 0)
		server_close(&t->server);
}

/* A connected socket, or -1; on the same machine it need not wait. */
static int call_server(const struct self_test *t)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&t->address,
		    sizeof(t->address)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void client_begin(struct client *c, struct self_test *t)
{
	c->test = t;
	c->fd = call_server(t);

	avow_promise *p = avow_writable(t->server.loop, c->fd);
	avow_promise *saying = avow_then(p, say, c);

	avow_slot(avow_catch(saying, client_failed, c), &c->saying);
	p = avow_readable(t->server.loop, c->fd);
	p = avow_then(p, hear, c);
	p = avow_catch(p, client_failed, c);
	avow_attach(p, c, client_end);
}

static bool self_test_run(struct self_test *t)
{
	const size_t count = sizeof(t->clients) / sizeof(t->clients[0]);
	size_t right_count = 0;
	int silent_fd = call_server(t);

	t->talking_count = count;
	for (size_t i = 0; i < count; i++)
		client_begin(&t->clients[i], t);
	ev_run(t->server.ev, 0);

	if (silent_fd >= 0)
		close(silent_fd);
	for (size_t i = 0; i < count; i++)
		right_count += t->clients[i].is_right;
	return silent_fd >= 0 && right_count == count && !t->server.first;
}

static bool self_test(struct ev_loop *ev, avow_loop *loop)
{
	static char too_long[LINE_SIZE_MAX + 100];
	struct self_test t = {
		.server = { .ev = ev, .loop = loop },
		.address = { .sin_family = AF_INET },
		.clients = {
			{ .name = "some lines", .times = 3,
			  .text = "one\ntwo\n\n", .expected = "one\ntwo\n\n" },
			{ .name = "very many lines", .times = 100000,
			  .text = "how much is too much?\n",
			  .expected = "how much is too much?\n" },
			{ .name = "quit", .times = 1,
			  .text = "one\nquit\ntwo\n", .expected = "one\n" },
			{ .name = "a line too long", .times = 1,
			  .text = too_long, .expected = "" },
		},
	};

	memset(too_long, 'x', sizeof(too_long) - 1);
	t.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return server_open(&t.server, &t.address) && self_test_run(&t);
}


/* --------------------------------------------------------------------- main */

static bool serve_port(struct ev_loop *ev, avow_loop *loop, const char *port)
{
	struct server s = { .ev = ev, .loop = loop };
	struct sockaddr_in address = { .sin_family = AF_INET };
	char *end;
	unsigned long number = strtoul(port, &end, 10);

	if (end == port || *end || number > 65535) {
		fprintf(stderr, "echo: not a port: %s\n", port);
		return false;
	}
	address.sin_port = htons((uint16_t)number);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!server_open(&s, &address))
		return false;
	ev_run(ev, 0);
	return true;
}

int main(int argc, char **argv)
{
	struct ev_loop *ev = ev_default_loop(0);
	avow_loop *loop = ev ? avow_loop_new(ev) : NULL;

	if (!loop) {
		fputs("echo: cannot make a loop\n", stderr);
		return EXIT_FAILURE;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);

	bool ok = argc > 1 ? serve_port(ev, loop, argv[1])
			   : self_test(ev, loop);

	avow_loop_free(loop);
	ev_loop_destroy(ev);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
