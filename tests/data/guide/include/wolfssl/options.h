/* wolfSSL's has the options with which it was built. */
