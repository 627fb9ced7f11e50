/*
 * SPDX-License-Identifier: MIT
 *
 * photo.h - somebody else's library: it downloads pictures over HTTP/1.0,
 * calls back error first, and has never heard of promises.
 *
 * It runs on the caller's libev loop and never blocks; for that reason it
 * takes numeric IPv4 addresses only.
 */
#ifndef PHOTO_H
#define PHOTO_H

#include <stddef.h>

struct ev_loop;

typedef struct client client;

typedef struct photo {
	char type[64]; /* as the server says: "image/gif" */
	size_t size;
	unsigned char *bytes;
} photo;

/* What can go wrong. */
enum photo_error {
	PHOTO_OK,
	PHOTO_EURL,
	PHOTO_EMEMORY,
	PHOTO_ENETWORK,
	PHOTO_ETIMEOUT,
	PHOTO_EPROTOCOL,
	PHOTO_ETRUNCATED,
	PHOTO_ETOOLARGE,
	PHOTO_ENOTFOUND,
	PHOTO_ESTATUS,
	PHOTO_ECLOSED
};

/* A client on `ev` that gives each download `timeout` seconds, or NULL. */
client *client_new(struct ev_loop *ev, double timeout);

/* End it; what is still under way is called back with PHOTO_ECLOSED. */
void client_free(client *c);

/*
 * Download `url`, "http://127.0.0.1:8080/cat.gif".
 *
 * Returns 0 when it has started: `cb` is then called once, later, with an
 * error or with a photo that is the receiver's to free.  Returns an error when
 * it has not: `cb` is then never called.
 */
int download_photo(client *c, const char *url,
		   void (*cb)(int err, photo *p, void *ctx), void *ctx);

/* Stop the download that was started with `ctx`; its `cb` is not called. */
void download_cancel(client *c, const void *ctx);

void photo_free(photo *p);
const char *photo_strerror(int err);

#endif /* PHOTO_H */
