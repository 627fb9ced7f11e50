/*
 * SPDX-License-Identifier: MIT
 *
 * photo_promise.h - what photo_demo.c makes of photo.h: a type for the values
 * of promises, and the promise of a photo.
 */
#ifndef PHOTO_PROMISE_H
#define PHOTO_PROMISE_H

#include "photo.h"

#include <avow.h>

AVOW_TYPE_DECLARE(photo, photo *);

/* A photo; cancelling closes the socket. */
avow_promise *fetch_photo_or_stop(avow_loop *loop, client *c, const char *url);

#endif /* PHOTO_PROMISE_H */
