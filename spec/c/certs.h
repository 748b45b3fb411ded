/* Certificates for specs, made on the spot: a self-signed pair in a folder of its own. */
#pragma once
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    char folder[64], cert[96], key[96];
} cert_pair;

/* Valid from `from` to `to`, seconds from now. */
static inline void cert_write(const char *file, EVP_PKEY *key, long from, long to)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509_sign(x, key, EVP_sha256());
    FILE *f = fopen(file, "w");
    PEM_write_X509(f, x);
    fclose(f);
    X509_free(x);
}

static inline void key_write(const char *file, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(file, "w");
    PEM_write_PrivateKey(f, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                         (void *)(uintptr_t)passphrase);
    fclose(f);
}

static inline void certs_make(cert_pair *p, EVP_PKEY *key, long from, long to)
{
    snprintf(p->folder, sizeof p->folder, "/tmp/lunacast-certs-XXXXXX");
    if (mkdtemp(p->folder) == NULL)
        abort();
    snprintf(p->cert, sizeof p->cert, "%s/cert.pem", p->folder);
    snprintf(p->key, sizeof p->key, "%s/key.pem", p->folder);
    cert_write(p->cert, key, from, to);
    key_write(p->key, key, NULL);
}

static inline void certs_remove(cert_pair *p)
{
    unlink(p->cert);
    unlink(p->key);
    rmdir(p->folder);
}
